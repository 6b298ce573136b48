from tests.synthesis.conftest import make, many, many_tasks, personas

__all__ = ["make", "many", "many_tasks", "personas"]
