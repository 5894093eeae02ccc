#!/usr/bin/env bash
# A real Slurm of two nodes on this machine, without systemd, as root: slurm.sh up DIR | down DIR
# Needs slurmctld, slurmd and munged (Debian: slurm-wlm, munge). Clients find it by SLURM_CONF=DIR/slurm.conf.
set -euo pipefail
action=${1:?up or down} dir=$(realpath -m "${2:?a folder}")
export SLURM_CONF=$dir/slurm.conf

up() {
    host=$(hostname -s)
    port=$((20000 + RANDOM % 20000)) # two of these on one machine must not quarrel
    mkdir -p "$dir/state" "$dir/spool-n1" "$dir/spool-n2"
    # Nodes of many CPUs, so that all jobs of a test run at once; requeued jobs may start after cred_expire.
    cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=8 RealMemory=8000 Gres=gpu:2 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=8 RealMemory=8000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
    # Character devices that count as GPUs: something to schedule on, nothing to compute with.
    echo "NodeName=n[1-2] Name=gpu File=/dev/zero,/dev/full" >"$dir/gres.conf"
    if ! munge -n 2>/dev/null | unmunge >/dev/null 2>&1; then
        install -d -o munge -g munge -m 0755 /run/munge /var/log/munge
        runuser -u munge -- /usr/sbin/munged
        until_true 'munge -n 2>/dev/null | unmunge >/dev/null 2>&1'
    fi
    slurmctld -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF" -N n1
    slurmd -f "$SLURM_CONF" -N n2
    until_true '[ "$(sinfo -h -o %T 2>/dev/null | sort -u)" = idle ]'
}

down() {
    scancel -u root 2>/dev/null || true
    until_true '! squeue -h 2>/dev/null | grep -q .' || true
    for file in "$dir"/slurmd-*.pid "$dir"/slurmctld.pid; do
        if [ -f "$file" ]; then kill "$(cat "$file")" 2>/dev/null || true; fi
    done
}

until_true() {
    for _ in $(seq 300); do
        if eval "$1"; then return 0; fi
        sleep 0.1
    done
    echo "gave up waiting for: $1" >&2
    return 1
}

"$action"
