"""The actions behind the dashboard's keys: on jobs and spaces, menus, export, leaving."""
