#!/usr/bin/env bash
# Submit a job of jobs/ to Spark.
#
#   ./spark-submit.sh <job> [options of the job ...]
#
#   ./spark-submit.sh stream_profiles --config conf/local.toml
#   MASTER=yarn DEPLOY_MODE=client ./spark-submit.sh stream_profiles --config conf/cluster.toml
#   MASTER=k8s://https://host:6443 SPARK_ARGS="--conf spark.kubernetes.container.image=..." ./spark-submit.sh stream_profiles
#
# Environment, for what differs between machines:
#   MASTER       where to run (default this machine, three task slots per core); yarn, spark://host:7077, k8s://https://host:port
#   DEPLOY_MODE  client (default) or cluster
#   SPARK_ARGS   further options of spark-submit, e.g. "--num-executors 4"
#   ARCHIVES     what every executor unpacks first, e.g. "environment.tar.gz#environment" (see docs/clusters.md)
#   IPDSF_CONF   folder with sites.toml and, if wanted, base.toml (default conf/ beside this script)
#   SPARK_HOME   another Spark than the one in .venv; its conf/spark-defaults.conf counts where ours says nothing
#   PYSPARK_DRIVER_PYTHON, PYSPARK_PYTHON   Python of this machine (default .venv) and of the executors (default the same path)
#
# SIGTERM and Ctrl-C let a streaming job finish its batch.
set -euo pipefail

usage() { sed -n '2,/^set -euo/p' "$0" | sed -e '$d' -e 's/^# \{0,1\}//'; }

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [[ $# -lt 1 || "$1" == "-h" || "$1" == "--help" ]]; then
  usage
  printf 'jobs:\n'
  for path in "$here"/jobs/*.py; do printf '  %s\n' "$(basename "$path" .py)"; done
  exit 0
fi
job="$1"
shift
if [[ ! -f "$here/jobs/$job.py" ]]; then
  printf 'spark-submit.sh: no job %q in jobs/; run with --help for the list\n' "$job" >&2
  exit 2
fi

python="${PYSPARK_DRIVER_PYTHON:-$here/.venv/bin/python}"
[[ -x "$python" ]] || python="${PYSPARK_PYTHON:-$python}"
if [[ ! -x "$python" ]]; then
  printf 'spark-submit.sh: no Python at %s: run `make setup`, or set PYSPARK_DRIVER_PYTHON\n' "$python" >&2
  exit 1
fi
export PYSPARK_PYTHON="${PYSPARK_PYTHON:-$python}" PYSPARK_DRIVER_PYTHON="$python"
export IPDSF_CONF="${IPDSF_CONF:-$here/conf}"
if [[ ! -d "$IPDSF_CONF" ]]; then
  printf 'spark-submit.sh: IPDSF_CONF is %q, which is no folder: it names the one with sites.toml\n' "$IPDSF_CONF" >&2
  exit 2
fi
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
submit="${SPARK_HOME:+$SPARK_HOME/bin/spark-submit}"
submit="${submit:-$(dirname "$python")/spark-submit}"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# Reading Kafka waits more than it computes, hence more slots than cores.
master="${MASTER:-local[$((3 * $(nproc)))]}"
# On this machine nobody else needs to reach Spark, whose UI asks for no login.
[[ "$master" != local* ]] || export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}"
# A driver here gives package and configuration to its executors itself; one on the cluster gets them with the job.
archives="${ARCHIVES:-}"
travelling=()
if [[ "${DEPLOY_MODE:-client}" == cluster ]]; then
  "$python" -m ipdsf_spark.spark.shipping "$work/ipdsf.zip"
  archives="$work/ipdsf.zip#ipdsf${archives:+,$archives}"
  for setting in spark.executorEnv spark.yarn.appMasterEnv spark.kubernetes.driverEnv; do
    travelling+=(--conf "$setting.PYTHONPATH=ipdsf")
  done
  # The paths of this machine mean nothing there; pip's spark-submit would look for Spark beside the Python of the hosts.
  unset IPDSF_CONF PYSPARK_DRIVER_PYTHON
  export SPARK_HOME="${SPARK_HOME:-$("$python" -c 'import importlib.util as u; print(u.find_spec("pyspark").submodule_search_locations[0])')}"
fi
[[ -z "$archives" ]] || travelling+=(--archives "$archives")
package="$("$python" -c 'import sys; from ipdsf_spark.config import load; from ipdsf_spark.spark.session import kafka_package; print(kafka_package(load(), sys.argv[1]))' "$master")"

export IPDSF_PID_FILE="$work/driver.pid"
# shellcheck disable=SC2086  # SPARK_ARGS is a list of words
"$submit" --master "$master" --deploy-mode "${DEPLOY_MODE:-client}" --name "ipdsf-$job" \
  --properties-file "$here/conf/spark-defaults.conf" --load-spark-defaults --packages "$package" ${travelling[@]+"${travelling[@]}"} \
  ${SPARK_ARGS:-} "$here/jobs/$job.py" "$@" &
submitted=$!
# The signal goes to the Python driver, which finishes its batch; the JVM ends after it.
forward() { if [[ -s "$IPDSF_PID_FILE" ]]; then kill -TERM "$(cat "$IPDSF_PID_FILE")" 2>/dev/null || true; else kill -TERM "$submitted"; fi; }
trap forward TERM INT
status=0
while true; do
  wait "$submitted" && status=0 || status=$?
  kill -0 "$submitted" 2>/dev/null || break
done
exit "$status"
