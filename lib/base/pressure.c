#include <base/pressure.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* At SHORT a thousand streams hold as much as makes it so. */
static const struct {
  size_t down, up;
  size_t leg_window, read_max;
  uint32_t stream_window;
} levels[] = {
    [T2_PRESSURE_EASY] = {0, 4 * MIB, 128 * KIB, 64 * KIB, INT32_MAX},
    [T2_PRESSURE_TIGHT] = {2 * MIB, 8 * MIB, 32 * KIB, 16 * KIB, 64 * 1024},
    [T2_PRESSURE_SHORT] = {4 * MIB, SIZE_MAX, 8 * KIB, 8 * KIB, 16 * 1024},
};

static void set_level(t2_pressure *pressure, t2_pressure_level level) {
  pressure->level = level;
  pressure->down = levels[level].down;
  pressure->up = levels[level].up;
  pressure->leg_window = levels[level].leg_window;
  pressure->read_max = levels[level].read_max;
  pressure->stream_window = levels[level].stream_window;
}

void t2_pressure_init(t2_pressure *pressure) {
  pressure->held = 0;
  set_level(pressure, T2_PRESSURE_EASY);
}

void t2_pressure_settle(t2_pressure *pressure) {
  while (pressure->held >= pressure->up)
    set_level(pressure, pressure->level + 1);
  while (pressure->held < pressure->down)
    set_level(pressure, pressure->level - 1);
}
