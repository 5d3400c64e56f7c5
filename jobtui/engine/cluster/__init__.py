"""The engine's part for clusters that run their jobs themselves."""
