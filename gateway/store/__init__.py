"""What outlives a process: requests, events and artifacts in Redis; secrets in files of mode 0600."""
