"""Pictures of profiles, heights and figures of a run; matplotlib without a screen and without global state.

curtain(profiles, layers, site=...)      time–height picture of backscatter with the tracked layer
site_day(SiteDay(...))                   heights, classes, edges and air quality of a site, in plots.site_day
error_figure(...)                        heights against known heights
latency_figure(...)                      seconds from send to product
save(figure, path)                       write any of them as PNG, SVG or PDF
"""

from ipdsf_spark.plots.curtain import Truth, curtain
from ipdsf_spark.plots.error import error_figure
from ipdsf_spark.plots.latency import latency_figure
from ipdsf_spark.plots.style import save

__all__ = ["Truth", "curtain", "error_figure", "latency_figure", "save"]
