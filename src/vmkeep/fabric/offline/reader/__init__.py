"""The program that reads a guest's file systems. It runs in a sandbox, sees no file, and believes nothing.

It may import the standard library, the file-system libraries and its own modules only: nothing else is in its sandbox.
"""
