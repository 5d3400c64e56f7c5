"""The dashboard: what a person sees and presses.

It asks a `Client` (`jobtui.engine.client`) and shows what the client reports; it changes nothing by itself, and knows
neither a storage nor the history's files. `app.run` starts it; nothing here is imported by a headless run.
"""
