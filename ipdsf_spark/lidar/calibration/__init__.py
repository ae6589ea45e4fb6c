"""The factor from an instrument's backscatter to m-1 sr-1, from liquid clouds and clear nights, followed over years."""
