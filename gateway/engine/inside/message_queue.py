"""How a process of the engine waits for the next message of another.

vLLM looks for it without a pause for one second after each message, and waits to be woken only then. Where the model is
computed on the processor, such a reader takes a core from the model that it waits for, from a training, and from a
second engine.
"""

from __future__ import annotations

#: The messages of one step follow each other within this time. A step of a model on a processor takes longer.
AWAKE_S = 0.005
#: After this time one who sleeps looks by itself: ZeroMQ drops a call to wake up that comes too soon after another.
ASLEEP_MS = 20


def sleep_between_messages() -> None:
    """Have the readers of message queues that are made from now on sleep where nothing has come for `AWAKE_S`.

    vLLM has no setting for it: the one time is the default of a constructor's last parameter, the other a constant.
    Raises RuntimeError for a vLLM in which they are not.
    """
    from vllm.distributed.device_communicators import shm_broadcast

    condition = shm_broadcast.SpinCondition
    defaults = condition.__init__.__defaults__ or ()
    if len(defaults) != 1 or not hasattr(shm_broadcast, "SHM_READER_RECHECK_INTERVAL_MS"):
        raise RuntimeError("this vLLM's queues wait in another way than is known here")
    condition.__init__.__defaults__ = (AWAKE_S,)
    shm_broadcast.SHM_READER_RECHECK_INTERVAL_MS = ASLEEP_MS
