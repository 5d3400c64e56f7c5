"""The engine's part for clusters that run their jobs themselves: requests, and their jobs in our history."""
