/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
/* TLS with OpenSSL as a transport, against a server in a thread. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tls_peer.h"
#include <noctule/error.h>
#include <noctule/posix.h>
#include <noctule/tls.h>

struct way {
    struct noc_posix_options posix_options;
    struct noc_posix_transport posix;
    struct noc_openssl_transport tls;
    char cafile[128];
};

/* Set up a transport to a server; the CA is that of its certificate unless options name one. */
static struct noc_transport *set_up(
    struct way *way, const struct tls_server *server, struct noc_tls_client_options options)
{
    way->posix_options = (struct noc_posix_options){.host = "127.0.0.1", .port = server->port};
    if (options.cafile == NULL && options.psk_identity == NULL) {
        options.cafile = file_in_folder(way->cafile, "ca", "crt");
    }
    assert_int_equal(
        noc_openssl_init(&way->tls, &options, noc_posix_init(&way->posix, &way->posix_options)),
        NOC_OK);
    return &way->tls.transport;
}

/* Open, expect that fault, close. */
static void expect_fault(struct tls_server *server, const struct noc_tls_client_options *options,
    enum noc_fault_kind kind, const char *words)
{
    struct way way;
    struct noc_transport *transport;
    int err;

    start_server(server);
    transport = set_up(&way, server, *options);
    err = transport->open(transport, server->is_mute ? 50 : LONG_MS);
    if (err == NOC_OK) { /* TLS 1.3 tells what the server thinks of us after the handshake */
        char bytes[8];

        err = transport->read(transport, bytes, sizeof(bytes), LONG_MS);
    }
    assert_true(err < 0);
    if (way.tls.fault.kind != kind || strstr(way.tls.fault.text, words) == NULL) {
        fail_msg("fault %d: %s", way.tls.fault.kind, way.tls.fault.text);
    }
    transport->close(transport);
    assert_int_equal(way.posix.fd, -1);
    noc_openssl_done(&way.tls);
    join_server(server);
}

static void bytes_go_both_ways(void **state)
{
    struct tls_server server = {.certificate = "server", .alpn = "mqtt"};
    static uint8_t out[300000], in[300000];
    struct way way;
    struct noc_transport *transport;
    size_t sent = 0, got = 0;
    char text[100];

    start_server(&server);
    transport =
        set_up(&way, &server, (struct noc_tls_client_options){.host = "localhost", .alpn = "mqtt"});
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    noc_openssl_describe(&way.tls, text, sizeof(text));
    assert_memory_equal(text, "TLSv1.3 TLS_", 12);
    assert_true(noc_slice_equal(noc_openssl_alpn(&way.tls), noc_slice_of("mqtt")));
    for (size_t i = 0; i < sizeof(out); i++) {
        out[i] = (uint8_t)(i * 7 + i / 251);
    }
    while (got < sizeof(in)) {
        int n = transport->write(
            transport, out + sent, sizeof(out) - sent > 50000 ? 50000 : sizeof(out) - sent);

        assert_true(n >= 0);
        sent += (size_t)n;
        n = transport->read(transport, in + got, sizeof(in) - got, 10);
        assert_true(n >= 0);
        got += (size_t)n;
    }
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(transport->read(transport, in, 1, 0), 0);
    transport->close(transport);
    assert_int_equal(transport->read(transport, in, 1, 0), NOC_ECLOSED);
    assert_int_equal(transport->write(transport, in, 1), NOC_ECLOSED);
    noc_openssl_describe(&way.tls, text, sizeof(text));
    assert_string_equal(text, "");
    join_server(&server);
    assert_string_equal(server.seen_name, "localhost");
    noc_openssl_done(&way.tls);
}

static void it_opens_again(void **state)
{
    struct tls_server server = {.certificate = "server"};
    struct way way;
    struct noc_transport *transport;

    start_server(&server);
    transport = set_up(&way, &server, (struct noc_tls_client_options){.host = "127.0.0.1"});
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    transport->close(transport);
    join_server(&server);
    assert_string_equal(server.seen_name, ""); /* an address is no name to be sent */
    start_server(&server);
    way.posix_options.port = server.port;
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    noc_openssl_done(&way.tls); /* closes */
    assert_int_equal(way.posix.fd, -1);
    join_server(&server);
}

static void a_wrong_certificate_is_told_in_words(void **state)
{
    char other[128];
    struct noc_tls_client_options good = {.host = "localhost"}, strict = good;
    struct tls_server server = {.certificate = "server"}, expired = {.certificate = "expired"};
    struct tls_server future = {.certificate = "future"}, elsewhere = {.certificate = "elsewhere"};
    struct tls_server own = {.certificate = "other"};

    strict.cafile = file_in_folder(other, "other", "crt");
    expect_fault(&server, &strict, NOC_FAULT_ISSUER, "comes from 'ca', which is not among");
    expect_fault(&own, &good, NOC_FAULT_ISSUER, "signed by itself (other)");
    expect_fault(&expired, &good, NOC_FAULT_EXPIRED, "expired on 20");
    expect_fault(&future, &good, NOC_FAULT_CLOCK, "valid from 20");
    expect_fault(
        &elsewhere, &good, NOC_FAULT_NAME, "is for broker.example, 192.0.2.7, not for localhost");
    good.host = "127.0.0.1";
    expect_fault(&elsewhere, &good, NOC_FAULT_NAME, "not for 127.0.0.1 as an IP address");
}

static void checks_can_be_left_out(void **state)
{
    static const struct {
        const char *certificate;
        enum noc_tls_verify verify;
        bool is_good;
    } rows[] = {
        {"elsewhere", NOC_TLS_VERIFY_NO_NAME, true},
        {"expired", NOC_TLS_VERIFY_NO_NAME, false},
        {"expired", NOC_TLS_VERIFY_NOTHING, true},
        {"stranger", NOC_TLS_VERIFY_NOTHING, true},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tls_server server = {.certificate = rows[i].certificate};
        struct way way;
        struct noc_transport *transport;

        start_server(&server);
        transport = set_up(&way, &server,
            (struct noc_tls_client_options){.host = "localhost", .verify = rows[i].verify});
        assert_int_equal(transport->open(transport, LONG_MS) == NOC_OK, rows[i].is_good);
        transport->close(transport);
        noc_openssl_done(&way.tls);
        join_server(&server);
    }
}

static void what_is_no_tls_is_told(void **state)
{
    struct noc_tls_client_options options = {.host = "localhost"};
    struct tls_server http = {.greeting = "HTTP/1.1 400 Bad Request\r\n\r\n"};
    struct tls_server closing = {.greeting = ""}, mute = {.is_mute = true};

    expect_fault(&http, &options, NOC_FAULT_NO_TLS, "does not speak TLS");
    expect_fault(&closing, &options, NOC_FAULT_TLS, "closed the connection in the TLS handshake");
    expect_fault(&mute, &options, NOC_FAULT_TIMEOUT, "no answer in the TLS handshake");
}

static void no_common_version_is_told(void **state)
{
    struct noc_tls_client_options options = {.host = "localhost", .min_version = "tlsv1.3"};
    struct tls_server old = {.certificate = "server", .version = TLS1_2_VERSION};

    expect_fault(&old, &options, NOC_FAULT_TLS, "no version of TLS in common");
}

static void our_certificate_is_shown(void **state)
{
    char client[128], key[128], stranger[128], stranger_key[128], byte;
    struct noc_tls_client_options options = {.host = "localhost"}, none = options, wrong = options;
    struct tls_server server = {.certificate = "server", .authority = "ca"};
    struct way way;
    struct noc_transport *transport;

    options.cert = file_in_folder(client, "client", "crt");
    options.key = file_in_folder(key, "client", "key");
    wrong.cert = file_in_folder(stranger, "stranger", "crt");
    wrong.key = file_in_folder(stranger_key, "stranger", "key");
    start_server(&server);
    transport = set_up(&way, &server, options);
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    assert_int_equal(transport->write(transport, "x", 1), 1);
    assert_int_equal(transport->read(transport, &byte, 1, LONG_MS), 1);
    noc_openssl_done(&way.tls);
    join_server(&server);
    expect_fault(&server, &none, NOC_FAULT_OURS, "wants a certificate from us");
    expect_fault(&server, &wrong, NOC_FAULT_OURS, "does not accept our certificate");
}

static void an_encrypted_key_needs_its_passphrase(void **state)
{
    char cert[128], plain[128], key[128];
    struct noc_tls_client_options options = {
        .host = "localhost", .cert = file_in_folder(cert, "client", "crt")};
    const char *words[] = {"it is encrypted, and no passphrase is given", "bad decrypt", NULL};
    const char *passphrases[] = {NULL, "wrong", "secret"};
    FILE *file = fopen(file_in_folder(plain, "client", "key"), "r");
    EVP_PKEY *client = PEM_read_PrivateKey(file, NULL, NULL, NULL);

    fclose(file);
    options.key = file_in_folder(key, "encrypted", "key");
    for (int is_traditional = 0; is_traditional < 2; is_traditional++) {
        BIO *bio = BIO_new_file(options.key, "w");
        const EVP_CIPHER *cipher = EVP_aes_128_cbc();
        unsigned char secret[] = "secret";

        assert_int_equal(
            is_traditional != 0
                ? PEM_write_bio_PrivateKey_traditional(bio, client, cipher, secret, 6, NULL, NULL)
                : PEM_write_bio_PKCS8PrivateKey(bio, client, cipher, "secret", 6, NULL, NULL),
            1);
        BIO_free(bio);
        for (size_t i = 0; i < 3; i++) {
            struct noc_posix_options way = {.host = "127.0.0.1"};
            struct noc_posix_transport posix;
            struct noc_openssl_transport tls;
            int err;

            options.passphrase = passphrases[i];
            err = noc_openssl_init(&tls, &options, noc_posix_init(&posix, &way));
            assert_int_equal(err, words[i] == NULL ? NOC_OK : NOC_EINVAL);
            if (words[i] != NULL && strstr(tls.fault.text, words[i]) == NULL) {
                fail_msg("%s", tls.fault.text);
            }
            noc_openssl_done(&tls);
        }
    }
    EVP_PKEY_free(client);
}

static void a_shared_key_is_used(void **state)
{
    struct noc_tls_client_options options = {
        .host = "localhost", .psk_identity = "bat", .psk = noc_slice("secret", 6)};
    struct noc_tls_client_options wrong = options;
    struct tls_server server = {.psk_identity = "bat"}, old = server;
    struct tls_server *both[] = {&server, &old};
    char byte;

    old.version = TLS1_2_VERSION;
    for (size_t i = 0; i < 2; i++) {
        struct way way;
        struct noc_transport *transport;

        start_server(both[i]);
        transport = set_up(&way, both[i], options);
        assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
        assert_int_equal(transport->write(transport, "x", 1), 1);
        assert_int_equal(transport->read(transport, &byte, 1, LONG_MS), 1);
        noc_openssl_done(&way.tls);
        join_server(both[i]);
    }
    wrong.psk = noc_slice("public", 6);
    expect_fault(&old, &wrong, NOC_FAULT_OURS, "does not accept our key");
}

static void secrets_are_logged_for_wireshark(void **state)
{
    char path[128], line[64] = "";
    struct tls_server server = {.certificate = "server"};
    struct way way;
    struct noc_transport *transport;
    FILE *file;

    start_server(&server);
    transport = set_up(&way, &server,
        (struct noc_tls_client_options){
            .host = "localhost", .keylog = file_in_folder(path, "secrets", "log")});
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    noc_openssl_done(&way.tls);
    join_server(&server);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    assert_non_null(strstr(line, "_SECRET "));
}

/* Options that cannot be used: the words, and that nothing leaks. */
static void bad_options_are_told(void **state)
{
    static const char garbage[] = "/dev/null", missing[] = "/nonexistent/x";
    static char too_long[300];
    const struct {
        struct noc_tls_client_options options;
        const char *words;
    } rows[] = {
        {{.cafile = missing}, "cannot load the CA file '/nonexistent/x': "},
        {{.cafile = garbage}, "cannot load the CA file '/dev/null': "},
        {{.capath = missing}, "cannot use the CA folder '/nonexistent/x': No such file"},
        {{.cert = missing, .key = missing}, "cannot load the certificate '/nonexistent/x': "},
        {{.cert = missing}, "needs both"},
        {{.key = missing}, "needs both"},
        {{.ciphers = "NOT-A-CIPHER"}, "cannot use the ciphers 'NOT-A-CIPHER': "},
        {{.min_version = "tlsv9"}, "the TLS version must be"},
        {{.alpn = ""}, "an ALPN protocol has"},
        {{.alpn = too_long}, "an ALPN protocol has"},
        {{.psk_identity = "bat"}, "a pre-shared key has"},
        {{.psk = {"secret", 6}}, "needs an identity"},
        {{.psk_identity = too_long, .psk = {"secret", 6}}, "needs an identity"},
        {{.psk_identity = "bat", .psk = {too_long, 65}}, "a pre-shared key has"},
        {{.keylog = missing}, "cannot open the key log"},
        {{.host = NULL}, "a certificate can't be checked without a host"},
        {{.host = ""}, "a certificate can't be checked without a host"},
        {{.psk_identity = "bat", .psk = {"secret", 6}}, "can't be checked without a host"},
    };

    memset(too_long, 'a', sizeof(too_long) - 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct noc_openssl_transport tls;
        struct noc_posix_transport posix;
        struct noc_posix_options way = {.host = "127.0.0.1"};

        assert_int_equal(
            noc_openssl_init(&tls, &rows[i].options, noc_posix_init(&posix, &way)), NOC_EINVAL);
        assert_int_equal(tls.fault.kind, NOC_FAULT_SETUP);
        if (strstr(tls.fault.text, rows[i].words) == NULL) {
            fail_msg("%s", tls.fault.text);
        }
        noc_openssl_done(&tls);
    }
}

static void what_is_below_is_told_apart(void **state)
{
    struct tls_server server = {.port = 1}; /* nobody listens there */
    struct way way;
    struct noc_transport *transport =
        set_up(&way, &server, (struct noc_tls_client_options){.host = "localhost"});

    assert_int_equal(transport->open(transport, LONG_MS), NOC_EIO);
    assert_int_equal(way.tls.fault.kind, NOC_FAULT_CONNECT);
    assert_int_equal(way.posix.fault.kind, NOC_FAULT_CONNECT);
    noc_openssl_done(&way.tls);
}

/* A server without a thread, and what lies between it and us. */
struct near {
    struct noc_transport transport;
    SSL *ssl;
    bool takes_nothing;
    bool is_hesitant;   /* takes some bytes of every other write only */
    bool has_refused;   /* the last write */
    bool is_broken;     /* for writing */
    uint32_t waited_ms; /* the longest time that read() could have waited behind such a one */
};

static struct near *near_of(struct noc_transport *transport)
{
    return (struct near *)transport;
}

static int near_open(struct noc_transport *transport, uint32_t timeout_ms)
{
    (void)transport;
    (void)timeout_ms;
    return NOC_OK;
}

static void near_close(struct noc_transport *transport)
{
    (void)transport;
}

static int near_write(struct noc_transport *transport, const void *bytes, size_t n)
{
    struct near *near = near_of(transport);

    if (near->is_broken) {
        return NOC_ECLOSED;
    }
    near->has_refused = near->takes_nothing || (near->is_hesitant && !near->has_refused);
    if (near->has_refused) {
        return 0;
    }
    n = near->is_hesitant && n > 100 ? 100 : n;
    return BIO_write(SSL_get_rbio(near->ssl), bytes, (int)n);
}

static int near_read(struct noc_transport *transport, void *bytes, size_t n, uint32_t timeout_ms)
{
    struct near *near = near_of(transport);
    int got;

    if (near->has_refused && timeout_ms > near->waited_ms) {
        near->waited_ms = timeout_ms;
    }
    if (SSL_is_init_finished(near->ssl) == 0) {
        (void)SSL_accept(near->ssl);
    }
    got = BIO_read(SSL_get_wbio(near->ssl), bytes, (int)n);
    return got < 0 ? 0 : got;
}

/* Open a connection to a server without a thread; near is what lies in between. */
static int open_near_as(struct near *near, struct tls_server *server,
    struct noc_openssl_transport *tls, const char *host)
{
    struct noc_tls_client_options options = {.host = host};
    char path[128];

    near->transport = (struct noc_transport){
        .open = near_open, .read = near_read, .write = near_write, .close = near_close};
    set_up_server(server);
    near->ssl = SSL_new(server->ctx);
    SSL_set_bio(near->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    options.cafile = file_in_folder(path, "ca", "crt");
    assert_int_equal(noc_openssl_init(tls, &options, &near->transport), NOC_OK);
    return tls->transport.open(&tls->transport, LONG_MS);
}

static void open_near(
    struct near *near, struct tls_server *server, struct noc_openssl_transport *tls)
{
    assert_int_equal(open_near_as(near, server, tls, "localhost"), NOC_OK);
}

static void close_near(
    struct near *near, struct tls_server *server, struct noc_openssl_transport *tls)
{
    noc_openssl_done(tls);
    SSL_free(near->ssl);
    SSL_CTX_free(server->ctx);
}

static void a_server_that_asks_and_never_reads_does_not_fill_the_memory(void **state)
{
    struct tls_server server = {.certificate = "server"};
    struct near near = {.takes_nothing = false};
    struct noc_openssl_transport tls;
    char bytes[8];
    int got = 0;

    open_near(&near, &server, &tls);
    assert_int_equal(tls.transport.read(&tls.transport, bytes, sizeof(bytes), 0), 0);
    near.takes_nothing = true;
    for (unsigned i = 0; i < 40000 && got == 0; i++) {
        assert_int_equal(SSL_key_update(near.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(near.ssl), 1);
        got = tls.transport.read(&tls.transport, bytes, sizeof(bytes), 0);
    }
    assert_true(got < 0);
    assert_true(tls.out_room <= 512 * 1024);
    close_near(&near, &server, &tls);
}

static void what_is_below_has_not_taken_is_not_written(void **state)
{
    struct tls_server server = {.certificate = "server"};
    struct near near = {.takes_nothing = false};
    struct noc_openssl_transport tls;
    struct noc_transport *transport = &tls.transport;
    char bytes[8];

    open_near(&near, &server, &tls);
    near.takes_nothing = true;
    assert_int_equal(transport->write(transport, "hello", 5), 0);
    assert_int_equal(transport->write(transport, "hello", 5), 0);
    near.takes_nothing = false;
    assert_int_equal(transport->write(transport, "hel", 3), 3);
    assert_int_equal(transport->write(transport, "lo", 2), 2);
    assert_int_equal(transport->write(transport, "!", 1), 1);
    assert_int_equal(SSL_read(near.ssl, bytes, sizeof(bytes)), 5);
    assert_memory_equal(bytes, "hello", 5);
    assert_int_equal(SSL_read(near.ssl, bytes, sizeof(bytes)), 1);
    /* A new connection knows nothing of what was pending in the old one. */
    near.takes_nothing = true;
    assert_int_equal(transport->write(transport, "lost", 4), 0);
    near.takes_nothing = false;
    transport->close(transport);
    assert_true(SSL_clear(near.ssl) == 1);
    assert_int_equal(BIO_reset(SSL_get_rbio(near.ssl)), 1);
    assert_int_equal(BIO_reset(SSL_get_wbio(near.ssl)), 1);
    SSL_set_accept_state(near.ssl);
    assert_int_equal(transport->open(transport, LONG_MS), NOC_OK);
    assert_int_equal(transport->write(transport, "new", 3), 3);
    assert_int_equal(SSL_read(near.ssl, bytes, sizeof(bytes)), 3);
    assert_memory_equal(bytes, "new", 3);
    close_near(&near, &server, &tls);
}

static void nobody_waits_for_an_answer_to_what_is_not_sent(void **state)
{
    struct tls_server server = {.certificate = "server"};
    struct near near = {.is_hesitant = true};
    struct noc_openssl_transport tls;

    open_near(&near, &server, &tls);
    assert_true(near.waited_ms < LONG_MS / 100);
    close_near(&near, &server, &tls);
}

static void what_came_before_a_write_failed_is_read(void **state)
{
    struct tls_server server = {.certificate = "server"};
    struct near near = {.is_broken = false};
    struct noc_openssl_transport tls;
    struct noc_transport *transport = &tls.transport;
    char bytes[8];

    open_near(&near, &server, &tls);
    assert_int_equal(SSL_write(near.ssl, "why", 3), 3);
    near.is_broken = true;
    assert_int_equal(transport->write(transport, "x", 1), NOC_ECLOSED);
    assert_int_equal(transport->read(transport, bytes, sizeof(bytes), 0), 3);
    assert_memory_equal(bytes, "why", 3);
    assert_int_equal(transport->read(transport, bytes, sizeof(bytes), 0), 0);
    assert_int_equal(transport->write(transport, "x", 1), NOC_ECLOSED);
    close_near(&near, &server, &tls);
}

static void a_host_is_checked_as_certificates_write_it(void **state)
{
    static const struct {
        const char *host;
        bool is_good;
        const char *name; /* that was sent */
    } rows[] = {
        {"fe80::1", true, ""},
        {"fe80::1%eth0", true, ""},
        {"fe80::2%eth0", false, ""},
        {"localhost.", true, "localhost"},
        {"localhost..", false, "localhost."},
        {"localhost%eth0", false, "localhost%eth0"},
        {"%eth0:", false, ""},
        {"localhost:%", false, "localhost:"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tls_server server = {.certificate = "server"};
        struct near near = {.takes_nothing = false};
        struct noc_openssl_transport tls;
        const char *name;

        assert_int_equal(
            open_near_as(&near, &server, &tls, rows[i].host) == NOC_OK, rows[i].is_good);
        name = SSL_get_servername(near.ssl, TLSEXT_NAMETYPE_host_name);
        assert_string_equal(name == NULL ? "" : name, rows[i].name);
        close_near(&near, &server, &tls);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(it_opens_again),
        cmocka_unit_test(a_wrong_certificate_is_told_in_words),
        cmocka_unit_test(checks_can_be_left_out),
        cmocka_unit_test(what_is_no_tls_is_told),
        cmocka_unit_test(no_common_version_is_told),
        cmocka_unit_test(our_certificate_is_shown),
        cmocka_unit_test(an_encrypted_key_needs_its_passphrase),
        cmocka_unit_test(a_shared_key_is_used),
        cmocka_unit_test(secrets_are_logged_for_wireshark),
        cmocka_unit_test(bad_options_are_told),
        cmocka_unit_test(what_is_below_is_told_apart),
        cmocka_unit_test(a_server_that_asks_and_never_reads_does_not_fill_the_memory),
        cmocka_unit_test(what_is_below_has_not_taken_is_not_written),
        cmocka_unit_test(what_came_before_a_write_failed_is_read),
        cmocka_unit_test(a_host_is_checked_as_certificates_write_it),
        cmocka_unit_test(nobody_waits_for_an_answer_to_what_is_not_sent),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
