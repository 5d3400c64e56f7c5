"""The data behind the widgets: the feed of events, caches, searches, rows of tables."""
