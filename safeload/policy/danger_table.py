"""What names and modules could do, for `danger`. Written by `python -m policy.danger_source --write` (in tests/); do not edit.

Its sources are policies/danger/modules.toml and policies/known-danger.toml. Nothing here decides about a file.
"""

from __future__ import annotations

_EXACT = {  # name -> capability, by known-danger
    "code.attribute": """
        _functools.reduce _operator.attrgetter _operator.call _operator.itemgetter _operator.methodcaller builtins.__builtins__ builtins.__dict__
        builtins.delattr builtins.dir builtins.filter builtins.globals builtins.help builtins.locals builtins.map builtins.setattr builtins.vars
        functools.reduce inspect.currentframe inspect.getattr_static inspect.getmembers inspect.getmodule inspect.getsource inspect.stack itertools.accumulate
        itertools.dropwhile itertools.filterfalse itertools.groupby itertools.starmap itertools.takewhile operator.attrgetter operator.call
        operator.itemgetter operator.methodcaller types.MethodType types.new_class weakref.WeakMethod weakref.finalize
    """,
    "code.deserialize": """
        cloudpickle.cloudpickle.load cloudpickle.cloudpickle.loads cloudpickle.cloudpickle_fast.load cloudpickle.cloudpickle_fast.loads cloudpickle.load
        cloudpickle.loads copyreg.add_extension copyreg.constructor copyreg.pickle copyreg.remove_extension cupy.load dill.Unpickler dill._dill.Unpickler
        dill._dill.load dill._dill.loads dill.load dill.load_module dill.load_module_asdict dill.load_session dill.loads gensim.utils.unpickle joblib.load
        joblib.numpy_pickle.NumpyUnpickler joblib.numpy_pickle._unpickle joblib.numpy_pickle.load joblib.numpy_pickle.load_temporary_memmap
        numpy._core._methods._load numpy._core._methods._loads numpy._core.records.fromfile numpy.lib._npyio_impl.load numpy.lib.format.read_array
        numpy.lib.npyio.load numpy.load pandas.read_pickle plistlib.load plistlib.loads sklearn.externals.joblib.load skops.io.load skops.io.loads spacy.load
        torch.load torch.serialization._legacy_load torch.serialization._load torch.serialization.load torch.utils.model_zoo.load_url
    """,
    "code.exec": """
        _thread.start_joinable_thread _thread.start_new _thread.start_new_thread ast.literal_eval builtins.__build_class__ builtins.apply builtins.breakpoint
        builtins.compile builtins.eval builtins.exec builtins.execfile builtins.exit builtins.input builtins.quit code.InteractiveConsole
        code.InteractiveInterpreter code.compile_command code.interact datasets.load_dataset gettext.c2py keras.models.load_model pandas.DataFrame.eval
        pandas.DataFrame.query pandas.core.frame.DataFrame.eval pandas.core.frame.DataFrame.query pandas.eval profile.Profile profile.run profile.runctx
        sympy.core.sympify.sympify sympy.lambdify sympy.parse_expr sympy.sympify sympy.utilities.lambdify.lambdify tensorflow.keras.models.load_model
        tensorflow.py_function threading.Thread threading.Timer threading._start_new_thread torch._C.CompilationUnit torch._C._import_ir_module_from_package
        torch._C._jit_script_compile torch._C.import_ir_module torch._C.import_ir_module_from_buffer torch._C.parse_ir torch.compile torch.export.load
        torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_for_args
        torch.fx.graph_module._deserialize_graph_module torch.fx.graph_module._exec_with_source torch.fx.graph_module._forward_from_src
        torch.fx.graph_module._method_from_src torch.jit.CompilationUnit torch.jit.load trace.Trace transformers.pipelines.pipeline types.CodeType
        types.FunctionType types.LambdaType
    """,
    "code.import": """
        _codecs.lookup builtins.__import__ builtins.__loader__ builtins.__spec__ builtins.reload codecs.lookup encodings.search_function
        hydra._internal.instantiate._instantiate2.instantiate hydra.utils.call hydra.utils.get_class hydra.utils.get_method hydra.utils.get_object
        hydra.utils.instantiate site.addpackage site.addsitedir site.execsitecustomize site.execusercustomize site.main six._import_module types.ModuleType
        warnings._getcategory xmlrpc.server.resolve_dotted_attribute
    """,
    "fs.read": """
        PIL.Image.open h5py.File lxml.etree.parse nt.environ nt.getcwd nt.listdir nt.read nt.readlink nt.scandir nt.stat numpy.DataSource numpy.fromfile
        numpy.fromregex numpy.genfromtxt numpy.loadtxt os.environ os.getcwd os.getenv os.listdir os.pread os.read os.readlink os.scandir os.stat os.walk
        pandas.read_csv pandas.read_excel pandas.read_hdf pandas.read_html pandas.read_json pandas.read_parquet pandas.read_sql pandas.read_table
        pandas.read_xml posix.environ posix.getcwd posix.listdir posix.pread posix.read posix.readlink posix.scandir posix.stat tokenize.open
        torch.UntypedStorage.from_file torch.from_file torch.storage.TypedStorage.from_file torch.storage.UntypedStorage.from_file xml.etree.ElementTree.parse
    """,
    "fs.write": """
        _io.FileIO _io._WindowsConsoleIO _io.open _io.open_code builtins.file builtins.open bz2.BZ2File bz2.open cloudpickle.dump codecs.open dill.dump
        io.FileIO io._WindowsConsoleIO io.open io.open_code joblib.dump joblib.numpy_pickle.dump logging.FileHandler logging.basicConfig lzma.LZMAFile
        lzma.open nt.chmod nt.link nt.mkdir nt.open nt.remove nt.rename nt.replace nt.rmdir nt.symlink nt.truncate nt.unlink nt.write
        numpy._core.memmap.memmap numpy.memmap numpy.ndarray.dump numpy.ndarray.tofile numpy.save numpy.savetxt numpy.savez numpy.savez_compressed os.chmod
        os.chown os.fdopen os.link os.makedirs os.mkdir os.mkfifo os.mknod os.open os.remove os.removedirs os.rename os.renames os.replace os.rmdir os.symlink
        os.truncate os.unlink os.write posix.chmod posix.chown posix.link posix.mkdir posix.mkfifo posix.mknod posix.open posix.remove posix.rename
        posix.replace posix.rmdir posix.symlink posix.truncate posix.unlink posix.write torch._C.PyTorchFileWriter torch.jit.save torch.save
        torch.serialization._legacy_save torch.serialization._save torch.serialization.save
    """,
    "native": """
        cupy.ElementwiseKernel cupy.RawKernel cupy.RawModule cupy.ReductionKernel torch.UntypedStorage._new_shared_filename_cpu
        torch._C._cuda_getCurrentRawStream torch._C._from_dlpack torch._C._load_for_lite_interpreter torch._ops._Ops.load_library torch.classes.load_library
        torch.ops.load_library torch.storage.UntypedStorage._new_shared_filename_cpu
    """,
    "net": """
        huggingface_hub.hf_hub_download huggingface_hub.snapshot_download torch.distributed.TCPStore torch.distributed.distributed_c10d.init_process_group
        torch.distributed.init_process_group
    """,
    "process.exec": """
        imaplib.IMAP4_stream invoke.run platform._syscmd_file platform._syscmd_ver platform.popen psutil.Popen sh.Command signal.pthread_kill
        signal.raise_signal signal.signal uuid._arp_getter uuid._find_mac uuid._find_mac_near_keyword uuid._find_mac_nextlines uuid._find_mac_under_heading
        uuid._get_command_stdout uuid._ifconfig_getter uuid._ip_getter uuid._ipconfig_getter uuid._lanscan_getter uuid._netstat_getter uuid._popen
        uuid.getnode uuid.uuid1
    """,
}
EXACT: dict[str, str] = {key: capability for capability, keys in _EXACT.items() for key in keys.split()}

_PREFIXES = {  # module, all names in it -> capability, by known-danger
    "code.attribute": """
        difflib faulthandler gc sys tracemalloc
    """,
    "code.deserialize": """
        _marshal _pickle _yaml dill.session distributed.protocol hickle joblib.numpy_pickle_compat jsonpickle marshal pandas.compat.pickle_compat
        pandas.io.pickle pickle pickle5 pickletools pyspark.serializers ray.cloudpickle ruamel shelve tensorflow.saved_model torch.utils.serialization yaml
    """,
    "code.exec": """
        IPython _interpreters _lsprof _pyrepl _testcapi _testinternalcapi _tkinter _xxsubinterpreters atexit bdb cProfile codeop
        concurrent.futures.interpreter concurrent.interpreters doctest fickling hotshot idlelib ipdb jinja2 lib2to3 llvmlite modelscan new numexpr
        numpy.testing pandas.core.computation pdb picklescan pydoc pytest readline rlcompleter runpy safeload sympy.parsing.sympy_parser test.support timeit
        tkinter torch._dynamo.config torch._dynamo.guards torch._export.serde torch._inductor.config torch.distributed.rpc torch.hub torch.jit._serialization
        torch.jit._state torch.jit.annotations torch.jit.frontend torch.jit.unsupported_tensor_ops torch.library torch.package torch.testing._internal
        torch.utils._config_module torch.utils.bottleneck torch.utils.data.datapipes.utils.decoder transformers.dynamic_module_utils turtledemo unittest
    """,
    "code.import": """
        _distutils_hack _frozen_importlib _frozen_importlib_external _imp compileall distutils easy_install ensurepip ihooks imp importlib logging.config
        modulefinder pip pkg_resources pkgutil py_compile pyclbr pydoc_data setuptools sitecustomize torch.utils._import_utils
        torch.utils.backend_registration unittest.mock usercustomize venv virtualenv zipapp zipimport
    """,
    "fs.read": """
        dotenv filecmp fileinput genericpath glob grp linecache mimetypes netrc ntpath numpy.lib._datasource numpy.lib._npyio_impl numpy.lib.npyio
        pandas.io.json pandas.io.parsers posixpath pwd xml.sax
    """,
    "fs.write": """
        _dbm _gdbm _pyio _sqlite3 dbm fcntl gzip logging.handlers mailbox msilib pathlib.Path pathlib.PosixPath pathlib.WindowsPath shutil sqlite3 tarfile
        tempfile termios torch.utils.tensorboard zipfile
    """,
    "native": """
        _cffi_backend _ctypes _ctypes_test ctypes cupy.cuda.compiler cupy.cuda.function mmap numpy.ctypeslib resource syslog torch.utils.dlpack
    """,
    "net": """
        _socket _ssl aiohttp asynchat asyncore cgi cgitb ftplib gdown http httplib2 httpx huggingface_hub.file_download imaplib nntplib paramiko poplib pycurl
        requests selectors smtpd smtplib socket socketserver ssl telnetlib torch.distributed.rendezvous torch.utils.model_zoo urllib urllib3 websocket
        websockets wget wsgiref xmlrpc zmq
    """,
    "process.exec": """
        _aix_support _multiprocessing _osx_support _posixsubprocess _winapi antigravity asyncio billiard concurrent.futures.process ctypes.util
        distutils.spawn fabric git.cmd mailcap msvcrt multiprocessing nt numpy.distutils numpy.f2py os pexpect pipes plumbum popen2 posix pty ptyprocess
        subprocess torch._inductor.codecache torch._inductor.compile_worker torch._inductor.cpp_builder torch.distributed.elastic torch.distributed.launch
        torch.distributed.launcher torch.distributed.run torch.multiprocessing torch.utils.collect_env torch.utils.cpp_extension webbrowser winreg
    """,
}
PREFIXES: dict[str, str] = {key: capability for capability, keys in _PREFIXES.items() for key in keys.split()}

_FAMILIES = {  # dotted prefix -> capability, by modules.toml
    "code.attribute": """
        attr attrs cytoolz decorator funcy more_itertools numpy.lib pydantic toolz torch.overrides torch.utils wrapt
    """,
    "code.deserialize": """
        bson cachetools compress_pickle diskcache hickle joblib jsonpickle kaitaistruct klepto msgpack multiprocess pandas.io.pickle pathos pickle5 ruamel
        skops.io srsly.cloudpickle torch.serialization torch.storage yaml
    """,
    "code.exec": """
        Cython IPython bokeh celery cloudpickle coremltools cython dask dill distributed django fickling fire flask functools.partial gradio hydra ipykernel
        jax.lib jinja2 joblib.parallel jupyter_client keras langchain mako mlflow model_unpickler modelaudit modelscan mxnet notebook numba onnxruntime
        openvino optuna paddle picklescan pluggy py pyspark pytest pyximport ray rq safeload saferpickle streamlit sympy tensorflow tf_keras torch._dynamo
        torch._inductor torch.compile torch.export torch.fx torch.hub torch.jit torch.multiprocessing torch.package torch.testing torch.utils.bottleneck
        torch.utils.cpp_extension transformers.dynamic_module_utils triton
    """,
    "code.import": """
        _distutils_hack easy_install importlib_metadata importlib_resources pip pkg_resources setuptools six.moves stevedore virtualenv wheel
    """,
    "data.value": """
        builtins.ArithmeticError builtins.AssertionError builtins.AttributeError builtins.BaseException builtins.BaseExceptionGroup builtins.BlockingIOError
        builtins.BrokenPipeError builtins.BufferError builtins.BytesWarning builtins.ChildProcessError builtins.ConnectionAbortedError
        builtins.ConnectionError builtins.ConnectionRefusedError builtins.ConnectionResetError builtins.DeprecationWarning builtins.EOFError builtins.Ellipsis
        builtins.EncodingWarning builtins.EnvironmentError builtins.Exception builtins.ExceptionGroup builtins.False builtins.FileExistsError
        builtins.FileNotFoundError builtins.FloatingPointError builtins.FutureWarning builtins.GeneratorExit builtins.IOError builtins.ImportError
        builtins.ImportWarning builtins.IndentationError builtins.IndexError builtins.InterruptedError builtins.IsADirectoryError builtins.KeyError
        builtins.KeyboardInterrupt builtins.LookupError builtins.MemoryError builtins.ModuleNotFoundError builtins.NameError builtins.None
        builtins.NotADirectoryError builtins.NotImplemented builtins.NotImplementedError builtins.OSError builtins.OverflowError
        builtins.PendingDeprecationWarning builtins.PermissionError builtins.ProcessLookupError builtins.RecursionError builtins.ReferenceError
        builtins.ResourceWarning builtins.RuntimeError builtins.RuntimeWarning builtins.StopAsyncIteration builtins.StopIteration builtins.SyntaxError
        builtins.SyntaxWarning builtins.SystemError builtins.SystemExit builtins.TabError builtins.TimeoutError builtins.True builtins.TypeError
        builtins.UnboundLocalError builtins.UnicodeDecodeError builtins.UnicodeEncodeError builtins.UnicodeError builtins.UnicodeTranslateError
        builtins.UnicodeWarning builtins.UserWarning builtins.ValueError builtins.Warning builtins.ZeroDivisionError builtins.abs builtins.ascii builtins.bin
        builtins.bool builtins.chr builtins.complex builtins.dict builtins.divmod builtins.float builtins.frozenset builtins.hash builtins.hex builtins.id
        builtins.int builtins.len builtins.list builtins.oct builtins.ord builtins.pow builtins.range builtins.round builtins.set builtins.slice
        builtins.tuple numpy.poly1d numpy.size
    """,
    "fs.read": """
        PIL SimpleITK av bs4 cv2 decord imageio librosa lxml nibabel polars pyarrow pydicom skimage.io soundfile torchaudio
    """,
    "fs.write": """
        h5py leveldb lmdb netCDF4 openpyxl rocksdb tables tensorboardX torch.utils.data torch.utils.tensorboard xlrd xlsxwriter zarr
    """,
    "native": """
        cffi comtypes cupy jpype llvmlite pycuda pyopencl pywintypes rpy2 torch._C torch.classes torch.ops win32api win32com
    """,
    "net": """
        MySQLdb adlfs aiohttp azure boto boto3 botocore clearml comet_ml datasets dns eventlet fsspec gcsfs gdown gevent google.cloud grpc httplib2 httpx
        huggingface_hub kafka neptune paramiko pika psycopg2 pycurl pymongo pymysql redis requests s3fs scapy smart_open sqlalchemy torch.distributed
        torchvision.datasets tornado twisted urllib3 wandb websocket websockets wget zmq
    """,
    "process.exec": """
        conda docker fabric git horovod.run invoke kubernetes nose pexpect plumbum psutil ptyprocess sh torch.distributed.run
    """,
}
FAMILIES: dict[str, str] = {key: capability for capability, keys in _FAMILIES.items() for key in keys.split()}

_MODULES = {  # module of the standard library -> capability, by modules.toml
    "code.attribute": """
        UserDict UserList UserString __builtin__ __future__ __main__ _abc _collections_abc _colorize _contextvars _functools _opcode _opcode_metadata
        _operator _py_abc _string _suggestions _sysconfig _threading_local _tracemalloc _weakref _weakrefset abc argparse builtins contextvars copy difflib
        enum exceptions faulthandler functools gc getopt inspect itertools mutex opcode operator optparse pprint repr reprlib sets string sys traceback
        tracemalloc weakref
    """,
    "code.deserialize": """
        _compat_pickle _pickle cPickle copy_reg copyreg marshal pickle pickletools plistlib pstats shelve
    """,
    "code.exec": """
        Tkinter _ast _collections _ctypes_test _curses _curses_panel _dummy_thread _hotshot _interpchannels _interpqueues _interpreters _lsprof _pyrepl
        _remote_debugging _sitebuiltins _symtable _testbuffer _testcapi _testclinic _testclinic_limited _testexternalinspection _testimportmultiple
        _testinternalcapi _testlimitedcapi _testmultiphase _testsinglephase _thread _tkinter _typing _xxinterpchannels _xxsubinterpreters _xxtestfuzz
        annotationlib ast atexit bdb cProfile cmd code codeop collections compiler contextlib curses dataclasses dis doctest dummy_thread dummy_threading
        gettext hotshot idlelib lib2to3 new parser pdb profile profiling pydoc pydoc_data readline rexec rlcompleter runpy sched symtable this thread
        threading timeit tkinter trace turtle turtledemo types typing unittest user xxlimited xxlimited_35 xxsubtype
    """,
    "code.import": """
        Bastion __hello__ __phello__ _codecs _frozen_importlib _frozen_importlib_external _imp _py_warnings _pydatetime _sysconfigdata _warnings codecs
        compileall distutils encodings ensurepip ihooks imp importlib imputil modulefinder pkgutil py_compile pyclbr site sysconfig venv warnings zipapp
        zipimport
    """,
    "data.value": """
        HTMLParser Queue StringIO _abcoll _bisect _blake2 _bootlocale _codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _csv _datetime
        _decimal _hashlib _heapq _hmac _json _markupbase _md5 _multibytecodec _pydecimal _pylong _queue _random _regex_core _sha _sha1 _sha2 _sha256 _sha3
        _sha512 _sre _stat _statistics _strptime _struct _types audioop base64 binascii bisect cStringIO calendar cmath colorsys csv datetime decimal email
        errno fnmatch formatter fpformat fractions future_builtins graphlib hashlib heapq hmac html htmlentitydefs htmllib ipaddress json keyword markupbase
        math md5 numbers queue quopri random re secrets sgmllib sha shlex sre sre_compile sre_constants sre_parse stat statistics stringold stringprep strop
        struct symbol textwrap time token tomllib unicodedata whrandom xdrlib zlib
    """,
    "fs.read": """
        ConfigParser _tokenize _zoneinfo array configparser dircache filecmp genericpath glob grp imghdr linecache macpath macurl2path mimetools mimetypes
        mimify multifile netrc ntpath nturl2path os2emxpath posixpath pwd rfc822 sndhdr spwd statvfs tabnanny tokenize zoneinfo
    """,
    "fs.write": """
        MimeWriter _bsddb _bz2 _compression _dbm _gdbm _io _lzma _msi _pyio _sqlite3 _zstd aifc anydbm binhex bsddb bz2 chunk compression dbhash dbm dumbdbm
        fileinput gdbm getpass gzip io logging lzma mailbox mhlib msilib pathlib posixfile shutil sqlite3 sunau tarfile tempfile toaiff uu wave whichdb
        zipfile
    """,
    "native": """
        _cffi_backend _crypt _ctypes _elementtree _hacl _locale _scproxy _tracing _wmi al audiodev cd crypt ctypes dl fcntl fl fm gl linuxaudiodev locale mmap
        ossaudiodev pyexpat resource sgi sunaudio sunaudiodev syslog termios tty winsound
    """,
    "net": """
        BaseHTTPServer CGIHTTPServer Cookie DocXMLRPCServer SimpleHTTPServer SimpleXMLRPCServer SocketServer _LWPCookieJar _MozillaCookieJar _socket _ssl
        asynchat asyncore cgi cgitb cookielib ftplib gopherlib http httplib imaplib nis nntplib poplib robotparser select selectors smtpd smtplib socket
        socketserver ssl telnetlib urllib urllib2 urlparse wsgiref xml xmllib xmlrpc xmlrpclib
    """,
    "process.exec": """
        _aix_support _android_support _apple_support _asyncio _bootsubprocess _ios_support _multiprocessing _osx_support _overlapped _posixshmem
        _posixsubprocess _signal _uuid _winapi _winreg antigravity asyncio ce commands concurrent mailcap msvcrt multiprocessing nt os os2 pipes platform
        popen2 posix pty riscos signal subprocess test uuid webbrowser winreg
    """,
}
MODULES: dict[str, str] = {key: capability for capability, keys in _MODULES.items() for key in keys.split()}

REEXPORTED = frozenset(  # modules by which others are known to hand everything on
    """
        __builtin__ _ctypes _io _operator _pickle _socket _ssl builtins codecs ctypes functools gc importlib inspect io marshal multiprocessing nt operator os
        pickle posix pty requests runpy shutil socket ssl subprocess sys tempfile threading urllib
    """.split()
)

ATTRIBUTES = frozenset(  # attributes that lead out of every object
    """
        __annotations__ __base__ __bases__ __builtins__ __call__ __class__ __closure__ __code__ __delattr__ __dict__ __func__ __getattr__ __getattribute__
        __globals__ __import__ __init__ __init_subclass__ __loader__ __module__ __mro__ __new__ __reduce__ __reduce_ex__ __self__ __set_name__ __setattr__
        __spec__ __subclasses__ __wrapped__ cr_frame f_builtins f_globals f_locals gi_frame tb_frame
    """.split()
)
