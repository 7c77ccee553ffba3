"""What people type: single runs, sweeps, and how long they will take. Importing this imports no torch."""
