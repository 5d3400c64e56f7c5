"""The dashboard's widgets: their owners pass data to them, and they post messages to their owners."""
