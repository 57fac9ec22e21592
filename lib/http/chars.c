#include <http/chars.h>

#define T T2_CHAR_TOKEN
#define V T2_CHAR_VALUE
#define G T2_CHAR_TARGET
#define H T2_CHAR_HOST
#define D T2_CHAR_DIGIT
#define X T2_CHAR_HEX

const uint8_t t2_chars[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | V | G | H,
    ['"'] = V | G,
    ['#'] = T | V,
    ['$'] = T | V | G | H,
    ['%'] = T | V | G,
    ['&' ... '\''] = T | V | G | H,
    ['(' ... ')'] = V | G | H,
    ['*' ... '+'] = T | V | G | H,
    [','] = V | G | H,
    ['-' ... '.'] = T | V | G | H,
    ['/'] = V | G,
    ['0' ... '9'] = T | V | G | H | D | X,
    [':'] = V | G,
    [';'] = V | G | H,
    ['<'] = V | G,
    ['='] = V | G | H,
    ['>' ... '@'] = V | G,
    ['A' ... 'F'] = T | V | G | H | X,
    ['G' ... 'Z'] = T | V | G | H,
    ['[' ... ']'] = V | G,
    ['^'] = T | V | G,
    ['_'] = T | V | G | H,
    ['`'] = T | V | G,
    ['a' ... 'f'] = T | V | G | H | X,
    ['g' ... 'z'] = T | V | G | H,
    ['{'] = V | G,
    ['|'] = T | V | G,
    ['}'] = V | G,
    ['~'] = T | V | G | H,
    [0x80 ... 0xff] = V,
};

/* clang-format off */
const uint8_t t2_token_lower[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*', ['+'] = '+',
    ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|', ['~'] = '~',
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7',
    ['8'] = '8', ['9'] = '9',
    ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h',
    ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',
    ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h',
    ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p',
    ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x',
    ['y'] = 'y', ['z'] = 'z',
};
/* clang-format on */

bool t2_chars_all(t2_str s, uint8_t classes) {
  for (size_t i = 0; i < s.n; i++)
    if (!t2_char_is((uint8_t)s.p[i], classes)) return false;
  return true;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Marks the bytes that lie below 0x20 or are DEL: the lowest mark is right, those above it may be too many.
 */
static uint64_t controls(uint64_t word) {
  uint64_t del = word ^ EACH(0x7f);
  uint64_t below = (word - EACH(0x20)) & ~word, zero = (del - EACH(1)) & ~del;
  return (below | zero) & EACH(0x80);
}

/* The first of eight bytes that is marked. */
static size_t first_of(uint64_t marks) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return (size_t)__builtin_ctzll(marks) / 8;
#else
  (void)marks;
  return 0;
#endif
}

const uint8_t *t2_chars_skip_value(const uint8_t *p, const uint8_t *end) {
  while (end - p >= 8) {
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    uint64_t marks = controls(word);
    if (marks) {
      p += first_of(marks); /* or before it; HTAB, too, has a mark, which the table lets through */
      break;
    }
    p += 8;
  }
  while (p < end && t2_char_is(*p, T2_CHAR_VALUE))
    p++;
  return p;
}
