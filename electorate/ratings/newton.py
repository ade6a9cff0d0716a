"""Newton's method for the concave log posteriors of this project, one problem or many at once."""

from collections.abc import Callable

import numpy as np

from electorate.base.scale import Floats

SHORTEST = 1e-6  # of a step, below which halving it again helps nothing
NO_STEP = 1e-12
Derivatives = Callable[[Floats], tuple[Floats, Floats]]
Posterior = Callable[[Floats], tuple[float, Floats, Floats]]


def searched(
    posterior: Posterior, start: Floats, tolerance: float, iterations: int
) -> tuple[Floats, Floats]:
    """The maximum, by steps that are halved until the posterior does not fall.

    Args:
        posterior: from parameters (P,) to the log posterior, its gradient (P,) and minus its
            Hessian (P, P).
        start: (P,) parameters.
        tolerance: of the longest step in a parameter, at which it has converged.
        iterations: at most.

    Returns:
        (P,) parameters and minus the Hessian there.
    """
    at = start
    objective, score, information = posterior(at)
    for _ in range(iterations):
        step = np.linalg.solve(information, score)
        scale = 1.0
        while True:
            proposal = at + scale * step
            new = posterior(proposal)
            if new[0] >= objective - 1e-9 * abs(objective) or scale < SHORTEST:
                break
            scale /= 2
        at = proposal
        (objective, score, information) = new
        if np.abs(scale * step).max() < tolerance:
            break
    return at, information


def bounded(
    derivatives: Derivatives, start: Floats, longest: float, tolerance: float, iterations: int
) -> tuple[Floats, Floats]:
    """The maxima of n problems, by steps that change no parameter by more than `longest`.

    Args:
        derivatives: from parameters (n, P) to gradients (n, P) and minus the Hessians (n, P, P).
        start: (n, P) parameters.
        tolerance: of the longest step in a parameter of any problem, at which all have converged.
        iterations: at most.

    Returns:
        (n, P) parameters, and minus the Hessians (n, P, P) before the last step.
    """
    at = start
    information = np.empty(0)
    for _ in range(iterations):
        score, information = derivatives(at)
        step = np.linalg.solve(information, score[..., None])[..., 0]
        length = np.abs(step).max(axis=-1, keepdims=True, initial=0.0)
        at = at + step * np.minimum(1.0, longest / np.maximum(length, NO_STEP))
        if length.max(initial=0.0) < tolerance:
            break
    return at, information
