"""What do people type? argv → one call → what people read. The only room that prints or exits."""
