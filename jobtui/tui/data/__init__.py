"""The data behind the dashboard's widgets: the feed of events, caches, searches, and rows of tables."""
