#include "jwt.h"

#include <tunnel2/error.h>

/* The order of the group of P-256 (SEC 2, 2.4.2). */
#define ORDER "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
#define ZERO  "0000000000000000000000000000000000000000000000000000000000000000"
/* RFC 6979, A.2.5, SHA-256. */
#define SAMPLE_R "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
#define SAMPLE_S "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
#define TEST_R   "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
#define TEST_S   "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"
#define PUBLIC_X "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
#define PUBLIC_Y "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"

static void from_hex(const char *hex, uint8_t *out, size_t n) {
  assert_int_equal(t2_hex_decode(t2_str_c(hex), out, n), 0);
}

static void test_sha256_of_the_examples(void **state) {
  const struct {
    const char *text, *hash;
  } examples[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
  };
  uint8_t hash[T2_SHA256_LEN], expected[T2_SHA256_LEN];

  for (size_t i = 0; i < T2_COUNT_OF(examples); i++) {
    t2_sha256(examples[i].text, strlen(examples[i].text), hash);
    from_hex(examples[i].hash, expected, sizeof(expected));
    assert_memory_equal(hash, expected, sizeof(hash));
  }
}

static void test_signatures_are_those_of_rfc_6979(void **state) {
  const struct {
    const char *text, *rs;
  } examples[] = {{"sample", SAMPLE_R SAMPLE_S}, {"test", TEST_R TEST_S}};
  t2_es256_key *key = jwt_key(NULL, JWT_KEY);
  uint8_t sig[T2_ES256_SIG_LEN], expected[T2_ES256_SIG_LEN];

  for (size_t i = 0; i < T2_COUNT_OF(examples); i++) {
    from_hex(examples[i].rs, expected, sizeof(expected));
    for (int again = 0; again < 2; again++) {
      assert_int_equal(t2_es256_sign(key, examples[i].text, strlen(examples[i].text), sig), 0);
      assert_memory_equal(sig, expected, sizeof(sig));
    }
    assert_int_equal(t2_es256_verify(key, examples[i].text, strlen(examples[i].text), sig), 0);
  }
  t2_es256_free(key);
}

static void test_the_signature_of_rfc_7515_a3_is_accepted(void **state) {
  static const char signed_part[] =
      "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
      "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
  static const char signature[] =
      "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
  uint8_t sig[T2_ES256_SIG_LEN], point[T2_P256_POINT_LEN];
  size_t n;
  t2_es256_key *key;

  assert_int_equal(t2_base64url_decode(T2_STR(JWT_OTHER_X), point, 32, &n), 0);
  assert_int_equal(t2_base64url_decode(T2_STR(JWT_OTHER_Y), point + 32, 32, &n), 0);
  assert_int_equal(t2_es256_from_point(NULL, point, &key), 0);
  assert_int_equal(t2_base64url_decode(t2_str_c(signature), sig, sizeof(sig), &n), 0);
  assert_int_equal(t2_es256_verify(key, signed_part, strlen(signed_part), sig), 0);
  assert_int_equal(t2_es256_verify(key, signed_part, strlen(signed_part) - 1, sig), T2_ERR_AUTH);
  t2_es256_free(key);
}

static void test_every_flipped_bit_of_a_signature_is_noticed(void **state) {
  t2_es256_key *key = jwt_key(NULL, JWT_KEY);
  uint8_t sig[T2_ES256_SIG_LEN];

  from_hex(SAMPLE_R SAMPLE_S, sig, sizeof(sig));
  for (size_t i = 0; i < sizeof(sig); i += 7) {
    sig[i] ^= (uint8_t)(1 << i % 8);
    assert_int_equal(t2_es256_verify(key, "sample", 6, sig), T2_ERR_AUTH);
    sig[i] ^= (uint8_t)(1 << i % 8);
  }
  assert_int_equal(t2_es256_verify(key, "Sample", 6, sig), T2_ERR_AUTH);
  assert_int_equal(t2_es256_verify(key, "sample", 6, sig), 0);
  t2_es256_free(key);
}

static void test_r_and_s_outside_the_group_are_refused(void **state) {
  const char *bad[] = {ZERO ZERO,      ZERO SAMPLE_S, SAMPLE_R ZERO,    ORDER SAMPLE_S,
                       SAMPLE_R ORDER, ORDER ORDER,   SAMPLE_S SAMPLE_R /* the wrong way round */};
  t2_es256_key *key = jwt_key(NULL, JWT_KEY);
  uint8_t sig[T2_ES256_SIG_LEN];

  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    from_hex(bad[i], sig, sizeof(sig));
    assert_int_equal(t2_es256_verify(key, "sample", 6, sig), T2_ERR_AUTH);
  }
  memset(sig, 0xff, sizeof(sig));
  assert_int_equal(t2_es256_verify(key, "sample", 6, sig), T2_ERR_AUTH);
  t2_es256_free(key);
}

static void test_a_key_from_a_point_is_public_and_verifies(void **state) {
  uint8_t point[T2_P256_POINT_LEN], back[T2_P256_POINT_LEN], sig[T2_ES256_SIG_LEN];
  t2_es256_key *key;
  t2_buf buf;

  from_hex(PUBLIC_X PUBLIC_Y, point, sizeof(point));
  from_hex(SAMPLE_R SAMPLE_S, sig, sizeof(sig));
  assert_int_equal(t2_es256_from_point(NULL, point, &key), 0);
  assert_false(t2_es256_is_private(key));
  assert_int_equal(t2_es256_verify(key, "sample", 6, sig), 0);
  assert_int_equal(t2_es256_sign(key, "sample", 6, sig), T2_ERR_STATE);
  t2_buf_init(&buf, NULL);
  assert_int_equal(t2_es256_to_pem(key, &buf), T2_ERR_STATE);
  assert_int_equal(t2_buf_len(&buf), 0);
  t2_es256_point(key, back);
  assert_memory_equal(back, point, sizeof(point));
  t2_es256_free(key);
  t2_buf_fini(&buf);
}

static void test_a_point_off_the_curve_is_refused(void **state) {
  const char *bad[] = {
      ZERO ZERO,
      PUBLIC_X PUBLIC_X,
      PUBLIC_Y PUBLIC_X,
      PUBLIC_X ZERO,
      "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb7" PUBLIC_Y,
      "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" PUBLIC_Y,
      /* p, which is 0, with a y that would do for it */
      "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
      "66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4",
  };
  uint8_t point[T2_P256_POINT_LEN];

  for (size_t i = 0; i < T2_COUNT_OF(bad); i++) {
    t2_es256_key *key = (t2_es256_key *)point;
    from_hex(bad[i], point, sizeof(point));
    assert_int_equal(t2_es256_from_point(NULL, point, &key), T2_ERR_INVALID);
    assert_null(key);
  }
}

static void test_generated_keys_differ_sign_and_come_back_from_pem(void **state) {
  uint8_t points[2][T2_P256_POINT_LEN], back[T2_P256_POINT_LEN], sig[T2_ES256_SIG_LEN];

  for (size_t i = 0; i < 2; i++) {
    t2_es256_key *key, *read;
    t2_buf pem;
    t2_buf_init(&pem, NULL);
    assert_int_equal(t2_es256_generate(NULL, &key), 0);
    assert_true(t2_es256_is_private(key));
    t2_es256_point(key, points[i]);
    assert_int_equal(t2_es256_to_pem(key, &pem), 0);
    assert_int_equal(t2_es256_from_pem(NULL, (char *)t2_buf_head(&pem), t2_buf_len(&pem), &read), 0);
    t2_es256_point(read, back);
    assert_memory_equal(back, points[i], sizeof(back));
    assert_int_equal(t2_es256_sign(read, "x", 1, sig), 0);
    assert_int_equal(t2_es256_verify(key, "x", 1, sig), 0);
    t2_es256_free(key);
    t2_es256_free(read);
    t2_buf_fini(&pem);
  }
  assert_memory_not_equal(points[0], points[1], sizeof(back));
}

static void test_the_private_key_is_written_as_openssl_would(void **state) {
  t2_es256_key *key = jwt_key(NULL, JWT_KEY);
  t2_buf pem;

  t2_buf_init(&pem, NULL);
  assert_int_equal(t2_es256_to_pem(key, &pem), 0);
  assert_string_equal(t2_buf_cstr(&pem), JWT_KEY);
  t2_es256_free(key);
  t2_buf_fini(&pem);
}

/* The same key in PKCS#8, and with the public part of another. */
static const char pkcs8[] = "-----BEGIN PRIVATE KEY-----\n"
                            "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgya+p2EW6dRZrXCFX\n"
                            "Z7HWk05Qw9s26JsSe4piKxIPZyGhRANCAARg/tS6JVqdMclh63TGNW1owEm4kjth\n"
                            "+mzmaWIuYPKftnkD/hAIuLyZpBrp6VYovGTy8bIMLX6fUXejwpTURiKZ\n"
                            "-----END PRIVATE KEY-----\n";
static const char mismatched[] = "-----BEGIN EC PRIVATE KEY-----\n"
                                 "MHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49\n"
                                 "AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\n"
                                 "focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
                                 "-----END EC PRIVATE KEY-----\n";

static void test_the_public_part_follows_from_the_secret_whatever_the_file_says(void **state) {
  const char *files[] = {pkcs8, mismatched};
  uint8_t point[T2_P256_POINT_LEN], expected[T2_P256_POINT_LEN];

  from_hex(PUBLIC_X PUBLIC_Y, expected, sizeof(expected));
  for (size_t i = 0; i < T2_COUNT_OF(files); i++) {
    t2_es256_key *key = jwt_key(NULL, files[i]);
    t2_es256_point(key, point);
    assert_memory_equal(point, expected, sizeof(point));
    t2_es256_free(key);
  }
}

static const char *const no_key_of_ours[] = {
    "",
    "-----BEGIN ",
    "-----BEGIN EC PRIVATE KEY-----\n",
    "-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n",
    "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
    "-----BEGIN EC PRIVATE KEY-----\n!!!!\n-----END EC PRIVATE KEY-----\n",
    /* the public key alone */
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7\n"
    "Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"
    "-----END PUBLIC KEY-----\n",
    /* secret 0 */
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAoAoGCCqGSM49\n"
    "AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8\n"
    "maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"
    "-----END EC PRIVATE KEY-----\n",
    /* P-384 */
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MIGkAgEBBDCfQrHibj3ykKBqHF1HEpeanMjrvvFEMqMB9i2BqSN0BTdsmDz2Urbt\n"
    "6g/ItNdQJcugBwYFK4EEACKhZANiAAR6KGZofqrvmU+GN1unPu4b5G67NFDYw58u\n"
    "GBYVnFYvuPm0HyJqtWLgkGZ8Rfb4nQ/GxgdXwVukMYFr+cnWY1ejAOgvIoE62J1V\n"
    "aoSmcy1kwzAzuH8QdUD5A9RqphO/60M=\n"
    "-----END EC PRIVATE KEY-----\n",
    /* secp256k1, whose numbers are as long as P-256's */
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHQCAQEEIO9zbi+Vh71/Q0pwzBbODV+T8kWaYfdDraH1qIlZVli7oAcGBSuBBAAK\n"
    "oUQDQgAELA4HULh5H3jiA2cufSlrlS1LiJEe9yheAE+etiYETW8GggngT5r9qGno\n"
    "fZmb5B+z/u1y8WB5s8mQMRT0XUpfRA==\n"
    "-----END EC PRIVATE KEY-----\n",
    /* RSA */
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIBOwIBAAJBANF+tiLN9yzQHYEl2e0bP4WzlVK0DzdyaGBAWa61BvPGB3o5feeC\n"
    "K0MMDOjKvCg0Mat+vjCOtzFtd826U80UtjsCAwEAAQJBAJrb3M07jVRt/vFhxoc0\n"
    "Fi/CQUZiXcEx7CACUYkIvjvhtoVEOWtSr9SeKWnoa56NXA4ozpNejO5O6NP5HPKu\n"
    "1jkCIQD5Qwt/cw3aNP+16S8TZeAfI5tDQSq3XBuRnkAS8JPazwIhANcoeCqqhfBo\n"
    "bSYaIYu7euH3B5WRORQNSuLYrAWPv9jVAiEAhZf2cJ+EnB/tsVzCG15tqaLW00v5\n"
    "Df8y03ACnWQNiqcCIAR/ahOqQOaHqFB1l2HuZ2E14sizonfS10/qq53qJV6JAiBu\n"
    "cKtOO5UsBnkgV+hOolUmLBgSTtz0Ftp0Zc0cSFsp7Q==\n"
    "-----END RSA PRIVATE KEY-----\n",
    /* with a password */
    "-----BEGIN EC PRIVATE KEY-----\n"
    "Proc-Type: 4,ENCRYPTED\n"
    "DEK-Info: AES-256-CBC,E5F9A310C22ECA11476D742B5DE7E9BD\n"
    "\n"
    "bW9Dm50IidL/vZcpdnW/kInwtrLb35fFePYRm6VMATGJS9RlG8TKKP2BzbF+3CnN\n"
    "ZLc5AXnf9KMoUxSVDJouQi2nb0aKBmRI8Csj45ah9NJCGV+M5NM0OtaINrVBEWFY\n"
    "IOHf7A0zecaLfsPfJZBWh7PNGrVM7UpCLvkj4Y8QY+I=\n"
    "-----END EC PRIVATE KEY-----\n",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
    "MIH0MF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBC5CJU8UlCRkmvVXFPP\n"
    "mjVwAgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQfAaD9F6xqtxmri+b\n"
    "wF6LYgSBkCjQNEnBoTxxGW0tR2w0SdHaeK4nB711VkHi1OWWR5fbqY7Bj2FA5Yfn\n"
    "gjfec+/xGBaT0KXa/Kv4VyrivRWBFt/pXYYQpt4QzH5iSGA2FgnDp59WgLr8w+cV\n"
    "aO3DlWYNFPt+hNDnDsUZ1ZPIGbo1qnA42cRldshs2qRkVUwKCVuKsbKrT/bB6ZlV\n"
    "OBYBzRllMg==\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n",
};

static void test_other_keys_and_no_keys_are_refused(void **state) {
  for (size_t i = 0; i < T2_COUNT_OF(no_key_of_ours); i++) {
    t2_es256_key *key = (t2_es256_key *)&i;
    size_t n = strlen(no_key_of_ours[i]);
    assert_int_equal(t2_es256_from_pem(NULL, no_key_of_ours[i], n, &key), T2_ERR_INVALID);
    assert_null(key);
  }
}

static void test_pem_is_not_cut_at_a_nul_and_der_is_no_pem(void **state) {
  static const char with_nul[] = JWT_KEY "\0more";
  uint8_t der[128];
  size_t n;
  t2_es256_key *key;

  assert_int_equal(t2_es256_from_pem(NULL, with_nul, sizeof(with_nul) - 1, &key), T2_ERR_INVALID);
  assert_int_equal(t2_es256_from_pem(NULL, NULL, 0, &key), T2_ERR_INVALID);
  assert_int_equal(
      t2_base64url_decode(T2_STR("MHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49"
                                 "AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A_4QCLi8"
                                 "maQa6elWKLxk8vGyDC1-n1F3o8KU1EYimQ"),
                          der, sizeof(der), &n),
      0);
  assert_int_equal(t2_es256_from_pem(NULL, (char *)der, n, &key), T2_ERR_INVALID);
}

static void test_pem_up_to_its_bound(void **state) {
  static char text[T2_ES256_PEM_MAX + 1];
  size_t n = strlen(JWT_KEY);
  t2_es256_key *key;

  memset(text, '\n', sizeof(text));
  memcpy(text + T2_ES256_PEM_MAX - n, JWT_KEY, n);
  assert_int_equal(t2_es256_from_pem(NULL, text, T2_ES256_PEM_MAX, &key), 0);
  t2_es256_free(key);
  assert_int_equal(t2_es256_from_pem(NULL, text, T2_ES256_PEM_MAX + 1, &key), T2_ERR_INVALID);
  assert_null(key);
}

static void make_each_way(t2_test_mem *mem, void *user) {
  uint8_t point[T2_P256_POINT_LEN];
  t2_es256_key *made = NULL, *read = NULL, *public = NULL;
  t2_buf pem;

  t2_buf_init(&pem, &mem->hook);
  int r = t2_es256_generate(&mem->hook, &made);
  if (r == 0) r = t2_es256_to_pem(made, &pem);
  if (r == 0) {
    t2_es256_point(made, point);
    r = t2_es256_from_point(&mem->hook, point, &public);
  }
  if (r == 0) r = t2_es256_from_pem(&mem->hook, (char *)t2_buf_head(&pem), t2_buf_len(&pem), &read);
  assert_int_equal(r, mem->failed ? T2_ERR_NOMEM : 0);
  t2_es256_free(made);
  t2_es256_free(read);
  t2_es256_free(public);
  t2_buf_fini(&pem);
}

static void test_without_memory_there_is_no_key_and_no_leak(void **state) {
  assert_true(t2_test_mem_fail_each(make_each_way, NULL) >= 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sha256_of_the_examples),
      cmocka_unit_test(test_signatures_are_those_of_rfc_6979),
      cmocka_unit_test(test_the_signature_of_rfc_7515_a3_is_accepted),
      cmocka_unit_test(test_every_flipped_bit_of_a_signature_is_noticed),
      cmocka_unit_test(test_r_and_s_outside_the_group_are_refused),
      cmocka_unit_test(test_a_key_from_a_point_is_public_and_verifies),
      cmocka_unit_test(test_a_point_off_the_curve_is_refused),
      cmocka_unit_test(test_generated_keys_differ_sign_and_come_back_from_pem),
      cmocka_unit_test(test_the_private_key_is_written_as_openssl_would),
      cmocka_unit_test(test_the_public_part_follows_from_the_secret_whatever_the_file_says),
      cmocka_unit_test(test_other_keys_and_no_keys_are_refused),
      cmocka_unit_test(test_pem_is_not_cut_at_a_nul_and_der_is_no_pem),
      cmocka_unit_test(test_pem_up_to_its_bound),
      cmocka_unit_test(test_without_memory_there_is_no_key_and_no_leak),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
