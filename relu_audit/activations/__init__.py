"""Which nodes rectify, by what they compute."""
