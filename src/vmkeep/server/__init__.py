"""`vmkeep up`: picks implementations, wires everything in one process, serves HTTPS."""
