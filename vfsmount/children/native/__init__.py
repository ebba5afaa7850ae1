"""This process itself under supervision: its system calls on mounted paths are answered by a process of their own.

That one is started first and mounts the same, because a thread of this process could wait for an answer while it holds
the interpreter's lock. Each tells the other of what it has changed.
"""
