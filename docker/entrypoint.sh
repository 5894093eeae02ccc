#!/bin/sh
# What the images run:
#
#   scheduler [options of dask scheduler]
#   worker    [options of dask worker, or of dask cuda worker where CURATION_DEVICE=cuda]
#   driver    [arguments of pipelines/run_ensemble.py]
#
# Workers and driver find the scheduler by DASK_SCHEDULER_ADDRESS; a driver without it starts the cluster of its config.
# Every role replaces this shell, so that SIGTERM reaches it.
set -eu

role=${1:-}
[ "$#" -eq 0 ] || shift

case $role in
scheduler)
    # As on a LocalCluster: the third worker that dies under a task gives up on the task.
    export DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="${DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES:-2}"
    exec dask scheduler "$@"
    ;;
worker)
    # Told before any library is imported. COMPUTE_THREADS is the run's scoring.compute_threads.
    eval "$(python -m curation.execution.cluster.worker "${COMPUTE_THREADS:-1}")"
    set -- --nthreads 1 --no-dashboard --preload curation.execution.cluster.worker "$@"
    export DASK_DISTRIBUTED__NANNY__PRELOAD='["curation.execution.cluster.worker"]' # dask cuda worker has no option for it
    case ${CURATION_DEVICE:-cpu} in
    cpu) exec dask worker "$@" ;;
    cuda) exec dask cuda worker "$@" ;;
    *) echo "CURATION_DEVICE is '$CURATION_DEVICE'; write cpu or cuda." >&2 && exit 2 ;;
    esac
    ;;
driver)
    if [ -n "${DASK_SCHEDULER_ADDRESS:-}" ]; then
        set -- "$@" cluster.kind=existing "cluster.address=$DASK_SCHEDULER_ADDRESS"
    fi
    exec python "${CURATION_HOME:-/opt/curation}/pipelines/run_ensemble.py" "$@"
    ;;
*)
    echo "There is no role '$role'; start scheduler, worker or driver." >&2
    exit 2
    ;;
esac
