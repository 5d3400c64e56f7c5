"""What fills the whole terminal: the dashboard itself and the dialogs over it."""
