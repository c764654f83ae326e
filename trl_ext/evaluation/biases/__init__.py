"""What rewards follow beside quality: length, and any other attribute of a response."""
