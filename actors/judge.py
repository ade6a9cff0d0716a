"""A judge as a Ray actor: it asks the models that judge, or answer, for a share of the personas."""

import ray

from actors.asking import AskingActor


# What it had not given back when it died is asked again by whoever is there; a retried call would
# ask everything anew.
@ray.remote(max_restarts=-1, max_task_retries=0)
class JudgeActor(AskingActor):
    """Holds nothing between calls, so a restarted one is as good as the first."""
