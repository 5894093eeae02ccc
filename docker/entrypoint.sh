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
    # As on a LocalCluster: told before any library is imported. COMPUTE_THREADS is the run's scoring.compute_threads.
    threads=${COMPUTE_THREADS:-1}
    parallel=$([ "$threads" -gt 1 ] && echo true || echo false)
    export OMP_NUM_THREADS="$threads" MKL_NUM_THREADS="$threads" OPENBLAS_NUM_THREADS="$threads"
    export RAYON_NUM_THREADS="$threads" TOKENIZERS_PARALLELISM="$parallel"
    export MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432
    case ${CURATION_DEVICE:-cpu} in
    cpu) exec dask worker --nthreads 1 --no-dashboard --preload curation.execution.cluster "$@" ;;
    cuda) exec dask cuda worker --nthreads 1 --no-dashboard --preload curation.execution.cluster "$@" ;;
    *) echo "CURATION_DEVICE is '$CURATION_DEVICE'; write cpu or cuda." >&2 && exit 2 ;;
    esac
    ;;
driver)
    if [ -n "${DASK_SCHEDULER_ADDRESS:-}" ]; then
        set -- "$@" cluster.kind=existing "cluster.address=$DASK_SCHEDULER_ADDRESS" cluster.workers=0 cluster.memory_bytes=0
    fi
    exec python "${CURATION_HOME:-/opt/curation}/pipelines/run_ensemble.py" "$@"
    ;;
*)
    echo "There is no role '$role'; start scheduler, worker or driver." >&2
    exit 2
    ;;
esac
