"""What an analysis is: a pure function from a site, its new averages and its own state to rows and its new state.

    def step(site: Site, news: News, state: bytes) -> tuple[list[Row], bytes]: ...
    OPERATOR = Operator("my_analysis", version=1, step=step)

An operator knows no Spark and no Kafka. It is called once for every batch that brings its site something, and once when
the site has fallen silent. It may raise: then its site is flagged, its state begins anew, and nobody else notices.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.layers.settings import LayerSettings
from ipdsf_spark.lidar.site import Site


class Row(NamedTuple):
    """One value of a product.

    Attributes:
        kind: which product, e.g. ``"layers"``; one operator may make several.
        time_us: what the value stands for [µs since 1970]; site, kind and time are its key, so a later row of the same
            key replaces an earlier one.
        values: plain numbers, texts, lists and mappings: what JSON can say. NaN is written as null.
    """

    kind: str
    time_us: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class News:
    """What a batch brought for one site.

    Attributes:
        closed: averages of intervals that are complete, each exactly once, in time order. Gaps happen.
        open: averages of intervals that changed and may change again, in time order: for provisional values.
        is_silent: nothing has come for so long that what is pending must be said now.
        has_new_source: another instrument has taken the place of the former one, whose last intervals came in a step of
            their own before, with `is_silent`.
        rows: what the operators that this one stands `after` made in this step, by their names; a name is missing where
            that operator raised.
    """

    closed: Sequence[Average] = ()
    open: Sequence[Average] = ()
    is_silent: bool = False
    has_new_source: bool = False
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)


Case = tuple[Site, News, bytes]  # what a step is given
Result = tuple[Sequence[Row], bytes]  # and what it returns
Step = Callable[[Site, News, bytes], Result]


@dataclass(frozen=True)
class Operator:
    """An analysis with a name.

    Attributes:
        name: unique; names its state and its metrics.
        version: of its state; a state of another version is handed to `migrate`, or begins anew with a flag.
        step: the function; `state` is empty at first.
        migrate: turns the state of an older version into this one's, or raises.
        after: names of operators that must run before it in every step; their rows of the step are in `News.rows`.
        step_many: the same for many sites at once, where that is cheaper: one result for each, in order, each as `step`
            gives it alone. Where it raises, the sites are taken one by one.
    """

    name: str
    version: int
    step: Step
    migrate: Callable[[int, bytes], bytes] | None = None
    after: tuple[str, ...] = ()
    step_many: Callable[[Sequence[Case]], Sequence[Result]] | None = None


@dataclass(frozen=True)
class Parameters:
    """What operators are made from.

    Attributes:
        interval_s: length of an interval [s].
        layers: parameters of the boundary-layer retrieval.
        forecast_model: folder of the forecast's model; empty = the one that comes with the package.
        forecast_sha256: of its weights, or how it begins; empty = any.
    """

    interval_s: int = 300
    layers: LayerSettings = field(default_factory=LayerSettings)
    forecast_model: str = ""
    forecast_sha256: str = ""


Factory = Callable[[Parameters], Operator]

# One line per analysis: its name, and the function that makes it from the parameters.
KNOWN: Final[Mapping[str, str]] = {
    "layers": "ipdsf_spark.lidar.layers.operator:operator",
    "air_quality": "ipdsf_spark.lidar.air_quality.in_stream:operator",
    "targets": "ipdsf_spark.lidar.targets.operator:operator",
    "calibration": "ipdsf_spark.lidar.calibration.operator:operator",
    "edges": "ipdsf_spark.lidar.edges.operator:operator",
    "forecast": "ipdsf_spark.forecast.operator:operator",
}


def operator_named(name: str, parameters: Parameters) -> Operator:
    """The operator called `name` here, or `module:function` of anybody's own.

    Raises:
        ConfigError: there is none.
    """
    module, separator, function = KNOWN.get(name, name).partition(":")
    if not separator:
        raise ConfigError(f"no operator {name!r}: use one of {', '.join(KNOWN)}, or module:function of your own")
    try:
        factory: Factory = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        where = (
            "" if name in KNOWN else "; the folder of your own file must stand in PYTHONPATH, or be named by --py-files"
        )
        raise ConfigError(f"operator {name!r} cannot be imported: {error}{where}") from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"operator {name!r} cannot be imported: {error}") from error
    try:
        made = factory(parameters)
    except ConfigError:
        raise  # the operator says itself what is wrong with its settings
    except Exception as error:
        raise ConfigError(f"operator {name!r} must be made from Parameters: {type(error).__name__}: {error}") from error
    if not isinstance(made, Operator):
        raise ConfigError(f"operator {name!r}: {module}.{function} must return an Operator, got {type(made).__name__}")
    return made


def operators_named(names: Sequence[str], parameters: Parameters) -> tuple[Operator, ...]:
    """The operators of these names, in this order.

    Raises:
        ConfigError: one does not exist, two have the same name, or one stands before what it needs.
    """
    made = tuple(operator_named(name, parameters) for name in names)
    called = [operator.name for operator in made]
    if twice := {name for name in called if called.count(name) > 1}:
        raise ConfigError(f"two operators are called {', '.join(sorted(twice))}: names must differ")
    for place, operator in enumerate(made):
        if missing := [name for name in operator.after if name not in called[:place]]:
            raise ConfigError(f"operator {operator.name} needs {', '.join(missing)} before it, got {', '.join(called)}")
    return made
