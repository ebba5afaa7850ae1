"""Moving bytes: windows, the prefetcher, the uploader, the threads and the memory they share."""
