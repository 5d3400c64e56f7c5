"""What the keys of the dashboard do: actions on jobs and spaces, menus, export, leaving."""
