"""Makes users.json, as Django's own commands write it: python3 make.py > users.json

Made with Django 5.2.17, argon2-cffi 25.1.0 and bcrypt 5.0.0. The password of each user is
"NAME has a password " with the space at its end, and with an e and a combining accent where the name has one.
"""
import datetime

import django
from django.conf import settings

HASHERS = ['PBKDF2', 'PBKDF2SHA1', 'Argon2', 'BCryptSHA256', 'BCrypt', 'Scrypt', 'MD5']

settings.configure(
    DATABASES={'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}},
    INSTALLED_APPS=['django.contrib.auth', 'django.contrib.contenttypes'],
    PASSWORD_HASHERS=['django.contrib.auth.hashers.%sPasswordHasher' % name for name in HASHERS],
    DEFAULT_AUTO_FIELD='django.db.models.AutoField',
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.hashers import get_hasher, make_password  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402
from django.core.management import call_command  # noqa: E402

call_command('migrate', verbosity=0)
JOINED = datetime.datetime(2021, 3, 4, 5, 6, 7, 890000, tzinfo=datetime.timezone.utc)

# bcrypt's default takes as long as ours; the tests of what is slow have one of each other kind.
get_hasher('bcrypt_sha256').__class__.rounds = 5
get_hasher('bcrypt').__class__.rounds = 5


def add(username, hasher='pbkdf2_sha1', iterations=None, password=None, **fields):
    text = username + ' has a password ' if password is None else password
    if iterations:
        encoded = get_hasher(hasher).encode(text, 'OldSaltOf' + hasher.title().replace('_', ''), iterations)
    else:
        encoded = make_password(text, hasher=hasher)
    fields = {'email': '', 'date_joined': JOINED, **fields}
    return User.objects.create(username=username, password=encoded, **fields)


get_hasher('pbkdf2_sha1').__class__.iterations = 2000

add('ada', 'pbkdf2_sha256', email='Ada@Example.com', first_name='Ada', is_staff=True, is_superuser=True, last_login=JOINED + datetime.timedelta(days=1)) \
    .groups.add(Group.objects.create(name='editors'))
add('old', 'pbkdf2_sha256', iterations=1000, email='old@example.com')
add('sha1', 'pbkdf2_sha1')
add('bcrypt-sha256', 'bcrypt_sha256')
add('bcrypt', 'bcrypt')
add('scrypt', 'scrypt')
add('argon2', 'argon2')
add('Ame\u0301lie', email='amelie@example.com')
add('mail@example.com', email='Mail@example.com')
add('only.a.name@example.com')
add('inactive', is_active=False)
unusable = add('unusable')
unusable.set_unusable_password()
unusable.save()
add('no-address', email='root@localhost')
add('same-address', email='ada@EXAMPLE.com')
# From here on: refused.
add('md5', 'md5')
add('ADA')
add('grace hopper')
add('old@example.com')
add('moved@example.com', email='new@example.com')

call_command('dumpdata', 'auth.user', 'auth.group', indent=1)
