/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cli/passwd_ask.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <termios.h>
#include <unistd.h>

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

/* Which of them came while the echo was off. A handler has no other way to tell. */
static volatile sig_atomic_t signal_came;

static void note_signal(int number)
{
    signal_came = number;
}

struct silence {
    bool is_on;
    struct termios before;
    sigset_t mask; /* as it was: the ending signals are let through only in the waiting */
    struct sigaction actions[NOC_COUNT(ending_signals)];
};

static void silence_begin(struct silence *silence)
{
    const struct sigaction note = {.sa_handler = note_signal};
    struct termios quiet;
    sigset_t ending;

    silence->is_on = tcgetattr(STDIN_FILENO, &silence->before) == 0;
    if (!silence->is_on) {
        return;
    }
    signal_came = 0;
    (void)sigemptyset(&ending);
    for (size_t i = 0; i < NOC_COUNT(ending_signals); i++) {
        (void)sigaddset(&ending, ending_signals[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &ending, &silence->mask);
    for (size_t i = 0; i < NOC_COUNT(ending_signals); i++) {
        (void)sigaction(ending_signals[i], &note, &silence->actions[i]);
    }
    quiet = silence->before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
}

static void silence_end(struct silence *silence)
{
    if (!silence->is_on) {
        return;
    }
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silence->before);
    (void)sigprocmask(SIG_SETMASK, &silence->mask, NULL); /* what is pending is noted */
    for (size_t i = 0; i < NOC_COUNT(ending_signals); i++) {
        (void)sigaction(ending_signals[i], &silence->actions[i], NULL);
    }
    if (signal_came != 0) {
        (void)raise(signal_came);
    }
}

static enum noc_ask_answer judge(const struct noc_ask_password *password)
{
    if (password->n > NOC_ASK_PASSWORD_MAX) {
        return NOC_ASK_TOO_LONG;
    }
    if (password->n == 0) {
        return NOC_ASK_EMPTY;
    }
    return memchr(password->bytes, '\0', password->n) == NULL ? NOC_ASK_GOOD : NOC_ASK_ZERO_BYTE;
}

/*
 * A byte as read() gives it. A signal that comes before the waiting begins must end it, too, so
 * the mask is changed by ppoll() in one with it.
 */
static ssize_t read_byte(const struct silence *silence, char *ret_byte)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    if (silence->is_on && ppoll(&input, 1, NULL, &silence->mask) < 0) {
        return -1;
    }
    return read(STDIN_FILENO, ret_byte, 1);
}

/* Byte by byte, so that what follows the line is left to whoever reads next. */
static enum noc_ask_answer read_line(
    const struct silence *silence, struct noc_ask_password *ret_password)
{
    char byte = '\0';

    ret_password->n = 0;
    for (;;) {
        ssize_t got = read_byte(silence, &byte);

        if (got < 0) {
            return NOC_ASK_BROKEN;
        }
        if (got == 0 || byte == '\n') {
            break;
        }
        if (ret_password->n == sizeof ret_password->bytes) {
            return NOC_ASK_TOO_LONG; /* and it may have no end at all */
        }
        ret_password->bytes[ret_password->n++] = byte;
    }
    while (ret_password->n > 0 && ret_password->bytes[ret_password->n - 1] == '\r') {
        ret_password->n--;
    }
    return judge(ret_password);
}

static void show(const struct noc_ask *ask, const char *text)
{
    if (ask->prompts != NULL) {
        (void)fputs(text, ask->prompts);
        (void)fflush(ask->prompts);
    }
}

static enum noc_ask_answer ask_one(
    const struct noc_ask *ask, const char *prompt, struct noc_ask_password *ret_password)
{
    struct silence silence;
    enum noc_ask_answer answer;
    int error;

    /* The echo first: whoever types ahead of a prompt is not shown either. */
    do {
        silence_begin(&silence);
        show(ask, prompt);
        answer = read_line(&silence, ret_password);
        error = errno;
        silence_end(&silence); /* where the process stops, and is here again after it went on */
    } while (answer == NOC_ASK_BROKEN && error == EINTR);
    if (answer == NOC_ASK_GOOD) {
        show(ask, "\n");
    }
    errno = error;
    return answer;
}

enum noc_ask_answer noc_ask_password(
    const struct noc_ask *ask, struct noc_ask_password *ret_password)
{
    struct noc_ask_password second;
    enum noc_ask_answer answer = ask_one(ask, ask->first, ret_password);

    if (answer != NOC_ASK_GOOD || ask->second == NULL) {
        return answer;
    }
    answer = ask_one(ask, ask->second, &second);
    if (answer == NOC_ASK_GOOD &&
        (second.n != ret_password->n || memcmp(second.bytes, ret_password->bytes, second.n) != 0)) {
        answer = NOC_ASK_DIFFERENT;
    }
    explicit_bzero(&second, sizeof second);
    return answer;
}
