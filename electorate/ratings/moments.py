"""How users' votes depart together from what their archetypes' prior means say of them.

The product of the scores of two votes of one user on different prompts has mean J S J, with S the
covariance of the users' offsets and J the information of a vote. So it shows whether users differ
at all, and along which directions, without the assumption that one user's votes are independent:
those on one prompt have the prompt in common too, and their products are left out.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from electorate.base.draws import Stream, generator
from electorate.base.scale import Floats, Ints
from electorate.ratings import dependence
from electorate.ratings.prior import Prior
from electorate.ratings.summed import Summed
from electorate.ratings.ties import TieModel
from electorate.ratings.user_votes import UserVotes

SIGNS = 12  # random draws of noise
SURE = 1.1  # how far above all of them what is found must stand


@dataclass(frozen=True)
class Moments(Summed):
    """Sums over users.

    cross: (1 + SIGNS, M, M) products of the scores of every two votes of one user on different
    prompts; as they are, and with random signs, which leave only noise: a sign for all votes of a
    user on a prompt, as those go together. information: (M, M) of all votes. votes, pairs: how many
    votes, and ordered pairs of votes that cross counts.
    """

    cross: Floats
    information: Floats
    votes: float
    pairs: float

    def users_differ(self, factors: Floats | None = None) -> bool:
        """Whether users' votes on different prompts have more in common than noise.

        Users who differ in nothing but which prompts they happened to be asked would be given a
        spread by the evidence, which takes a user's votes for independent.

        Args:
            factors: (r, M) what offsets have in common, which is left out: what moves scores as
                these do says nothing of the rest.
        """
        cross = self.cross
        if factors is not None:
            along, _ = np.linalg.qr((factors @ self.information).T)
            rest = np.eye(len(along)) - along @ along.T
            cross = rest @ cross @ rest
        square = self.information @ self.information
        common = np.tensordot(cross, square, axes=2)
        return bool(common[0] > SURE * common[1:].max())


def block_moments(votes: UserVotes, prior: Prior, ties: TieModel, block: int) -> Moments:
    """The moments of one block's votes, each by its weight."""
    models = prior.models
    mean = prior.mean[votes.archetype[votes.user]]
    at = np.arange(len(votes.user))
    d = mean[at, votes.a] - mean[at, votes.b]
    of = ties.derivatives(d, mean[:, -1], votes.outcome)
    cluster = dependence.clusters(votes.user, votes.prompt)
    cluster = at if cluster is None else np.unique(cluster, return_inverse=True)[1]
    clusters = int(cluster.max(initial=-1)) + 1
    independent = dependence.weighted(votes, prior.prompt_correlation)
    weight = independent.weights
    random = generator(0, Stream.SIGNS, block)
    columns = np.concatenate([votes.a, votes.b])
    crossed = []
    for flipped in range(1 + SIGNS):
        sign = 2.0 * random.integers(0, 2, clusters)[cluster] - 1 if flipped else 1.0
        signed = weight * of.d * sign
        values = np.concatenate([signed, -signed])
        of_user, of_cluster = (
            csr_matrix((values, (np.concatenate([rows, rows]), columns)), shape=(count, models))
            for rows, count in ((votes.user, votes.users), (cluster, clusters))
        )
        crossed.append((of_user.T @ of_user - of_cluster.T @ of_cluster).toarray())
    each = np.bincount(votes.user, weight, votes.users)
    together = np.bincount(cluster, weight, clusters)
    information = _laplacian(votes, weight * of.info_dd, models)
    pairs = float((each**2).sum() - (together**2).sum())
    return Moments(np.array(crossed), information, float(each.sum()), pairs)


def spread(moments: Moments) -> Floats:
    """(M, M) covariance of users' offsets, about their mean over models, with what noise adds."""
    found: Floats = _spreads(moments)[0]
    level = np.eye(len(found)) - 1 / len(found)
    return level @ found @ level


def _spreads(moments: Moments) -> Floats:
    """(1 + SIGNS, M, M) of the votes as they are, and of each draw of noise."""
    inverse = np.linalg.pinv(moments.information / max(1.0, moments.votes), rcond=1e-6)
    of_pair = moments.cross / max(1.0, moments.pairs)
    found: Floats = inverse @ of_pair @ inverse
    return found


def factors(moments: Moments, most: int, least_sd: float) -> Floats:
    """(r, M): the directions in which users' offsets vary together, each as long as its sd in nats.

    r is at most `most`; least_sd: the shortest that counts (nats). Directions count whose variance,
    above what all share, exceeds the largest that noise alone shows anywhere when signs are drawn
    at random (parallel analysis: Horn, 1965; Hong, Sheng and Dobriban, 2020); without what noise
    added.
    """
    values, vectors = np.linalg.eigh(_spreads(moments))
    # One eigenvalue, near zero, belongs to the common level, which votes say nothing of.
    level = int(np.abs(vectors[0].sum(axis=0)).argmax())
    others = np.delete(np.arange(values.shape[1]), level)
    above = values[0] - float(np.median(values[0, others]))
    noise = float(values[1:].max())
    chosen = [i for i in others[::-1][:most] if above[i] > SURE * noise + least_sd**2]
    # The spiked model's shrinkage: noise lengthens a direction's variance v to v + noise^2 / (4 v).
    variance = (above[chosen] + np.sqrt(np.maximum(above[chosen] ** 2 - noise**2, 0.0))) / 2
    found: Floats = np.sqrt(variance)[:, None] * vectors[0][:, chosen].T
    return found


def _laplacian(votes: UserVotes, value: Floats, models: int) -> Floats:
    """(M, M): the sum over votes of value (e_a - e_b)(e_a - e_b)^T."""
    pairs = _by_place(votes.a * models + votes.b, value, models**2).reshape(models, models)
    pairs += pairs.T
    laplacian: Floats = np.diag(pairs.sum(axis=1)) - pairs
    return laplacian


def _by_place(place: Ints, value: Floats, size: int) -> Floats:
    return np.bincount(place, value, size).astype(float, copy=False)
