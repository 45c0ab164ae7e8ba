"""The contract's conformance suite: every test of section 8 under its number, for an appliance or a PLC's program."""
