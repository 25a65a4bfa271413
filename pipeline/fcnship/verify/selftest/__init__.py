"""The self-test: faults put into copies of a run, and whether each gate catches the fault that it is for."""
