"""The commands that a command ends with: what to try next."""

from rich.console import Console


def tell(console: Console, *steps: str) -> None:
    """Print them, each as it can be pasted; what follows four spaces is why."""
    console.print("next:", highlight=False)
    for step in steps:
        console.print(f"  {step}", highlight=False, soft_wrap=True)
