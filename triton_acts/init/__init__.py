"""Initial weights for any activation: gains, Xavier, Kaiming, whole models, and data-driven.

The scaled sigmoid is the logistic one in other coordinates. With `h = s sigmoid(z) + b` and
`y = V h + d` (n inputs), the net `y = V' sigmoid(z) + d'` computes the same for

    V' = s V,    d' = d + b V 1    (1: the vector of n ones).

The layers before it are the same in both nets, and so are their gradients. A step of SGD with
learning rate r on V and d moves V' and d', with the gradients G and g of V' and d', by

    dV' = -r (s^2 G + s b g 1^T),    dd' = -r ((1 + n b^2) g + s b G 1).

So with b = 0 the logistic net follows the scaled one exactly if V' has the learning rate s^2 r (16
r for s = 4) and d' and all others r. With b != 0, as in `4 sigmoid(x) - 2`, no learning rate for
each parameter does: centring couples V' and d', as a preconditioner would, and that is what it is
for. Momentum changes nothing in this; weight decay l on V acts as l / s^2 on V' (b = 0). Adam,
whose steps do not depend on the gradients' scale, needs s r for V' (b = 0, and eps divided by s).
"""

from ._fill import kaiming_normal_, kaiming_uniform_, xavier_normal_, xavier_uniform_
from ._gain import calculate_gain
from ._lsuv import Scaled, lsuv_
from ._network import Initialized, initialize_

__all__ = [
    "Initialized",
    "Scaled",
    "calculate_gain",
    "initialize_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lsuv_",
    "xavier_normal_",
    "xavier_uniform_",
]
