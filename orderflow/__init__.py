"""Hold the ground that every part shares: errors, events, times, names, files, manners."""
