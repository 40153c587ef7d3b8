"""How findings are told: the wording, and one file for each form."""
