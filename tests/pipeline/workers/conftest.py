import sys
from pathlib import Path

# Workers import `pieces` as this process does.
sys.path.insert(0, str(Path(__file__).parent))
