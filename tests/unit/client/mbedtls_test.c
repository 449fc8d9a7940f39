/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/* TLS with mbedTLS as a transport, against a server in a thread. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>

#include "tls_peer.h"
#include <noctule/error.h>
#include <noctule/posix.h>
#include <noctule/tls.h>

struct way {
    struct noc_posix_options posix_options;
    struct noc_posix_transport posix;
    struct noc_mbedtls_transport tls;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_x509_crt authorities;
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
};

static struct noc_transport *set_up(
    struct way *way, const struct tls_server *server, const char *authority, const char *host)
{
    char path[128];

    mbedtls_entropy_init(&way->entropy);
    mbedtls_ctr_drbg_init(&way->random);
    mbedtls_x509_crt_init(&way->authorities);
    mbedtls_ssl_config_init(&way->config);
    assert_int_equal(
        mbedtls_ctr_drbg_seed(&way->random, mbedtls_entropy_func, &way->entropy, NULL, 0), 0);
    assert_int_equal(
        mbedtls_x509_crt_parse_file(&way->authorities, file_in_folder(path, authority, "crt")), 0);
    assert_int_equal(mbedtls_ssl_config_defaults(&way->config, MBEDTLS_SSL_IS_CLIENT,
                         MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
        0);
    mbedtls_ssl_conf_ca_chain(&way->config, &way->authorities, NULL);
    mbedtls_ssl_conf_rng(&way->config, mbedtls_ctr_drbg_random, &way->random);
    way->posix_options = (struct noc_posix_options){.host = "127.0.0.1", .port = server->port};
    return noc_mbedtls_init(&way->tls, &way->config, &way->ssl, host,
        noc_posix_init(&way->posix, &way->posix_options), noc_posix_now_ms);
}

static void tear_down(struct way *way)
{
    way->tls.transport.close(&way->tls.transport);
    assert_int_equal(way->posix.fd, -1);
    mbedtls_ssl_config_free(&way->config);
    mbedtls_x509_crt_free(&way->authorities);
    mbedtls_ctr_drbg_free(&way->random);
    mbedtls_entropy_free(&way->entropy);
}

static void bytes_go_both_ways(void **state)
{
    struct tls_server server = {.certificate = "server"};
    static uint8_t out[300000], in[300000];
    struct way way;
    struct noc_transport *transport;
    size_t sent = 0, got = 0;

    start_server(&server);
    transport = set_up(&way, &server, "ca", "localhost");
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    for (size_t i = 0; i < sizeof(out); i++) {
        out[i] = (uint8_t)(i * 7 + i / 251);
    }
    /* All of it is written before anything is read, as far as it goes: so records have to wait. */
    while (got < sizeof(in)) {
        int n = transport->write(transport, out + sent, sizeof(out) - sent);

        assert_true(n >= 0);
        sent += (size_t)n;
        if (n == 0) {
            n = transport->read(transport, in + got, sizeof(in) - got, 10);
            assert_true(n >= 0);
            got += (size_t)n;
        }
        if (sent == sizeof(out) && got < sizeof(in)) {
            n = transport->read(transport, in + got, sizeof(in) - got, 10);
            assert_true(n >= 0);
            got += (size_t)n;
        }
    }
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(transport->read(transport, in, 1, 0), 0);
    transport->close(transport);
    assert_int_equal(transport->read(transport, in, 1, 0), NOC_ECLOSED);
    join_server(&server);
    assert_string_equal(server.seen_name, "localhost");
    /* It opens again. */
    start_server(&server);
    way.posix_options.port = server.port;
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    tear_down(&way);
    join_server(&server);
}

static void expect_fault(struct tls_server *server, const char *authority, const char *host,
    enum noc_fault_kind kind, const char *words)
{
    struct way way;
    struct noc_transport *transport;
    int err;

    start_server(server);
    transport = set_up(&way, server, authority, host);
    err = transport->open(transport, server->is_mute ? 50 : LONG_MS);
    assert_true(err < 0);
    if (way.tls.fault.kind != kind || strstr(way.tls.fault.text, words) == NULL) {
        fail_msg("fault %d: %s", way.tls.fault.kind, way.tls.fault.text);
    }
    tear_down(&way);
    join_server(server);
}

static void a_wrong_certificate_is_told_in_words(void **state)
{
    struct tls_server server = {.certificate = "server"}, expired = {.certificate = "expired"};
    struct tls_server future = {.certificate = "future"}, elsewhere = {.certificate = "elsewhere"};

    expect_fault(&server, "other", "localhost", NOC_FAULT_ISSUER, "nobody whom we trust");
    expect_fault(&expired, "ca", "localhost", NOC_FAULT_EXPIRED, "has expired");
    expect_fault(&future, "ca", "localhost", NOC_FAULT_CLOCK, "is this device's time set?");
    expect_fault(&elsewhere, "ca", "localhost", NOC_FAULT_NAME, "for another name");
}

static void what_is_no_tls_is_told(void **state)
{
    struct tls_server http = {.greeting = "HTTP/1.1 400 Bad Request\r\n\r\n"};
    struct tls_server closing = {.greeting = ""}, mute = {.is_mute = true};
    struct tls_server nobody = {.certificate = "server"};
    struct way way;

    expect_fault(&http, "ca", "localhost", NOC_FAULT_NO_TLS, "does not speak TLS");
    expect_fault(
        &closing, "ca", "localhost", NOC_FAULT_TLS, "closed the connection in the TLS handshake");
    expect_fault(&mute, "ca", "localhost", NOC_FAULT_TIMEOUT, "no answer in the TLS handshake");
    nobody.port = 1;
    assert_int_equal(
        set_up(&way, &nobody, "ca", "localhost")->open(&way.tls.transport, LONG_MS), NOC_EIO);
    assert_int_equal(way.tls.fault.kind, NOC_FAULT_CONNECT);
    tear_down(&way);
}

static void an_address_is_checked_and_not_sent_as_a_name(void **state)
{
    struct tls_server server = {.certificate = "127.0.0.1"},
                      elsewhere = {.certificate = "elsewhere"};
    struct way way;
    struct noc_transport *transport;

    start_server(&server);
    transport = set_up(&way, &server, "ca", "127.0.0.1");
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    tear_down(&way);
    join_server(&server);
    assert_string_equal(server.seen_name, "");
    expect_fault(&elsewhere, "ca", "127.0.0.1", NOC_FAULT_NAME, "for another name");
    assert_string_equal(elsewhere.seen_name, "");
    expect_fault(&elsewhere, "ca", "::1", NOC_FAULT_NAME, "for another name");
    assert_string_equal(elsewhere.seen_name, "");
    expect_fault(&elsewhere, "ca", "1.example", NOC_FAULT_NAME, "for another name");
    assert_string_equal(elsewhere.seen_name, "1.example");
}

/* Lies between TLS and sockets: takes something after it was waited for only, and once. */
struct narrow {
    struct noc_transport transport;
    struct noc_transport *below;
    bool is_ready;
    unsigned refused, waits;
};

static int narrow_open(struct noc_transport *transport, uint32_t timeout_ms)
{
    struct noc_transport *below = ((struct narrow *)transport)->below;

    return below->open(below, timeout_ms);
}

static int narrow_read(struct noc_transport *transport, void *bytes, size_t n, uint32_t timeout_ms)
{
    struct noc_transport *below = ((struct narrow *)transport)->below;

    return below->read(below, bytes, n, timeout_ms);
}

static int narrow_write(struct noc_transport *transport, const void *bytes, size_t n)
{
    struct narrow *narrow = (struct narrow *)transport;

    if (!narrow->is_ready) {
        narrow->refused++;
        assert_true(narrow->refused < 1000);
        return 0;
    }
    narrow->is_ready = false;
    return narrow->below->write(narrow->below, bytes, n);
}

static void narrow_close(struct noc_transport *transport)
{
    struct noc_transport *below = ((struct narrow *)transport)->below;

    below->close(below);
}

static void narrow_wait(struct noc_transport *transport, uint32_t timeout_ms)
{
    struct narrow *narrow = (struct narrow *)transport;

    narrow->waits++;
    narrow->is_ready = true;
    narrow->below->wait_writable(narrow->below, timeout_ms);
}

static void set_narrow(struct way *way, struct narrow *narrow)
{
    *narrow = (struct narrow){
        .transport = {narrow_open, narrow_read, narrow_write, narrow_close, narrow_wait},
        .below = way->tls.below};
    way->tls.below = &narrow->transport;
}

static void a_handshake_waits_for_what_is_below(void **state)
{
    struct tls_server server = {.certificate = "server"};
    struct way way;
    struct noc_transport *transport;
    struct narrow narrow;

    start_server(&server);
    transport = set_up(&way, &server, "ca", "localhost");
    set_narrow(&way, &narrow);
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    assert_true(narrow.waits > 1);
    assert_int_equal(narrow.refused, narrow.waits);
    narrow.is_ready = true;
    tear_down(&way);
    join_server(&server);
}

static void who_comes_again_with_less_is_told_no_more_than_that(void **state)
{
    struct tls_server server = {.certificate = "server"};
    struct way way;
    struct noc_transport *transport;
    struct narrow narrow;
    char bytes[5];

    start_server(&server);
    transport = set_up(&way, &server, "ca", "localhost");
    set_narrow(&way, &narrow);
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    assert_int_equal(transport->write(transport, "hello", 5), 0);
    transport->wait_writable(transport, LONG_MS);
    assert_int_equal(transport->write(transport, "he", 2), 2);
    assert_int_equal(transport->write(transport, "llo", 3), 3);
    for (size_t got = 0; got < 5;) {
        int n = transport->read(transport, bytes + got, 5 - got, LONG_MS);

        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(transport->read(transport, bytes, 1, 0), 0);
    narrow.is_ready = true;
    tear_down(&way);
    join_server(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(a_wrong_certificate_is_told_in_words),
        cmocka_unit_test(what_is_no_tls_is_told),
        cmocka_unit_test(an_address_is_checked_and_not_sent_as_a_name),
        cmocka_unit_test(a_handshake_waits_for_what_is_below),
        cmocka_unit_test(who_comes_again_with_less_is_told_no_more_than_that),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
