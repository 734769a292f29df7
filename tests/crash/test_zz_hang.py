import time, pytest, sys
from tests.crash.conftest import *
from tests.conftest import *
from tests.crash.ground import *
@pytest.mark.parametrize("n", range(12))
def test_x(ground, n):
    with BreakableDaemon(ground.database, ground.backends) as daemon:
        for i in range(15):
            t=time.time()
            s=ground.history.put(daemon.client(), "k", body(LARGE))
            dt=time.time()-t
            if dt>3 or s!=200:
                print("SLOW", i, dt, s); print(daemon.log.read_text()[-3000:])
                raise SystemError
