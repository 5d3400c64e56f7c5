"""The dashboard.

It shows what a `Client` (`jobtui.engine.client`) reports. It changes nothing by itself, and knows neither a
storage nor the history's files. `launch.run` starts it; a run without a screen imports nothing of this package.
"""
