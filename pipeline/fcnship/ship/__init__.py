"""What leaves for a device: the drop, its signature, and its way there."""
