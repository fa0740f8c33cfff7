"""What the workflows' ports promise. Every implementation, the fakes included, passes the suite of its port."""
