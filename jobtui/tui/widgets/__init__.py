"""The dashboard's widgets: owners pass data to them, and they post messages to owners."""
