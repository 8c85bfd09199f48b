"""Pictures and tables drawn from generators and run folders."""
