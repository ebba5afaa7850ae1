"""The ways in which Python code reaches a file, each as a case that runs on the disk and on a mount."""
