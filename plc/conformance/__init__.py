"""The contract's conformance suite (section 8): every test under its number, run against an appliance or a PLC program."""
