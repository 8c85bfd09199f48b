"""What copgen writes and reads: files written aside, locks, tensors, downloads, foreign files."""
